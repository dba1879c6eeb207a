"""Where a prompt ends and its continuation begins: one rule for everything that is read.

The whole text is tokenised, never two encodings glued together. The continuation begins at the
first token that the prompt alone does not have: the token that a model writes there.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from elicit.tasks.conversation import Message
from elicit.tasks.faults import TaskError

Join = Callable[[Any, str], tuple[str, str]]
"""From a prompt and a continuation, the text of the prompt and the text of both."""

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR",
             "TIBETAN", "YI ", "IDEOGRAPHIC", "FULLWIDTH")  # fmt: skip
"""Names of characters after which a writer puts no space."""


@dataclass(frozen=True, kw_only=True)
class Continued:
    """Token ids of a prompt with a continuation."""

    ids: tuple[int, ...]
    """Of the whole text."""
    start: int
    """First token that the prompt alone does not have."""

    @property
    def prompt(self) -> tuple[int, ...]:
        """What is read before the continuation."""
        return self.ids[: self.start]

    @property
    def written(self) -> tuple[int, ...]:
        """The continuation."""
        return self.ids[self.start :]


def separator(prompt: str) -> str:
    """What stands between a prompt and its continuation: a space where the prompt's script has one.

    Args:
        prompt: Its last character decides; after white space, an opening bracket or quote, or a
            letter or mark of a script written without spaces (Chinese, Japanese, Thai, ...),
            nothing is added.
    """
    if not prompt or prompt[-1].isspace() or unicodedata.category(prompt[-1]) in ("Ps", "Pi"):
        return ""
    name = unicodedata.name(prompt[-1], "")
    return "" if name.startswith(_UNSPACED) else " "


def joined(
    prompt: str | list[Message], text: str, *, between: str | None = None
) -> tuple[str, str]:
    """A prompt, and the prompt with a continuation.

    Args:
        prompt: Text before it.
        text: The continuation.
        between: What is put between them; None for `separator`.

    Raises:
        TaskError: The prompt is a conversation, which plain text cannot hold.
    """
    if not isinstance(prompt, str):
        raise TaskError(
            f"A prompt is a conversation of {len(prompt)} turns, and plain text has no roles. Put "
            "it into a chat template with templated=True."
        )
    return prompt, f"{prompt}{separator(prompt) if between is None else between}{text}"


def continued(
    encode: Callable[[str], Sequence[int]], texts: Sequence[tuple[str, str]]
) -> list[Continued]:
    """Continuations of one prompt, all of which begin at one token.

    Where a token crosses the end of the prompt, the tokens of the prompt from there on belong to
    every continuation, so that all of them follow the same context.

    Args:
        encode: Token ids of a text, with the leading special tokens that the model expects.
        texts: The prompt and the whole text of each continuation.
    """
    prompts = {head: encode(head) for head, _ in texts}
    rows = [(prompts[head], tuple(map(int, encode(whole)))) for head, whole in texts]
    start = min(n_common(prompt, whole) for prompt, whole in rows)
    return [Continued(ids=whole, start=start) for _, whole in rows]


def n_common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two rows begin with alike.

    Args:
        left: Token ids.
        right: Token ids.
    """
    for place, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return place
    return min(len(left), len(right))
