"""Where a written thought is cut: sentences, lines, tokens, or pieces that end in a marker."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from elicit.texts.errors import TextError

UNITS = ("sentence", "line", "tokens:N", "marker:TEXT")
"""How the rule of a cut is written."""
THOUGHT_TAGS = ("think", "thinking", "thought", "reasoning")
"""Tags between which chat models write a thought."""
_SHORTEST = 10
_SENTENCE = re.compile(r"(?<=[.?!])(?=\s)|(?<=[。．？！])(?!\Z)|\n[ \t\r]*\n")


@dataclass(frozen=True, kw_only=True)
class StepRule:
    """How a text is cut into steps.

    Raises:
        TextError: The unit is not known, or its argument is missing or no use.
    """

    unit: str
    """`sentence`, `line`, `tokens` or `marker`."""
    argument: str = ""
    """Number of tokens, or text that ends a step."""

    def __post_init__(self) -> None:
        """Refuse rules that cut nothing."""
        if self.unit not in ("sentence", "line", "tokens", "marker"):
            raise TextError(
                f"steps are cut by {self.unit!r}, which is not one of {', '.join(UNITS)}, so it is "
                "not known where a step ends. Pass one of these, for instance 'sentence'."
            )
        if self.unit == "marker" and not self.argument.strip():
            raise TextError(
                "steps are to end in a marker and none is given, so nothing would be cut. Pass "
                "for instance 'marker:;'."
            )
        if self.unit == "tokens" and not (self.argument.isdigit() and int(self.argument)):
            raise TextError(
                f"steps are to have {self.argument!r} tokens, which is not a whole number from 1 "
                "up. Pass for instance 'tokens:20'."
            )
        if self.unit in ("sentence", "line") and self.argument:
            raise TextError(
                f"steps are cut by {self.unit}, which takes no argument, and "
                f"{self.argument!r} is given. Leave it out."
            )

    @classmethod
    def parse(cls, text: str) -> "StepRule":
        """The rule that a text such as `marker:;` stands for.

        Args:
            text: One of `UNITS`.

        Raises:
            TextError: It is none of them.
        """
        unit, _, argument = text.partition(":")
        return cls(unit=unit, argument=argument)

    def __str__(self) -> str:
        """As it is written in options."""
        return f"{self.unit}:{self.argument}" if self.argument else self.unit

    def ends(self, text: str, *, token_ends: Sequence[int] = ()) -> tuple[int, ...]:
        """Characters at which the steps of a text end; the last one is where its writing ends.

        White space after a step belongs to none. Sentences and lines of fewer than ten characters
        are joined to the next one, the last to the one before. A piece that the marker does not
        close is a step of its own, so that nothing is lost.

        Args:
            text: The written thought.
            token_ends: Character at which each of its tokens ends; read for `tokens` alone.

        Source: Bogdan et al. 2025 (arXiv:2506.19143) for sentences; unlike theirs, an unfinished
            last one is kept.
        """
        if not text.strip():
            return ()
        last = len(text.rstrip())
        if self.unit == "tokens":
            size = int(self.argument)
            inner = [int(end) for end in token_ends if 0 < end < last]
            found = [len(text[:end].rstrip()) for end in inner[size - 1 :: size]]
            return (*dict.fromkeys(end for end in found if end), last)
        if self.unit == "marker":
            marks = [match.end() for match in re.finditer(re.escape(self.argument), text)]
            return tuple(dict.fromkeys([*(end for end in marks if end < last), last]))
        pattern = _SENTENCE if self.unit == "sentence" else re.compile(r"\n")
        cuts = [len(text[: match.start()].rstrip()) for match in pattern.finditer(text)]
        return _merged(text, [*sorted({cut for cut in cuts if 0 < cut < last}), last])


def _merged(text: str, ends: list[int]) -> tuple[int, ...]:
    """Ends of pieces, none of them short unless it is the only one."""
    kept: list[int] = []
    start = 0
    for end in ends:
        if len(text[start:end].strip()) >= _SHORTEST:
            kept.append(end)
            start = end
    if not kept:
        return (ends[-1],)
    kept[-1] = ends[-1] if start < ends[-1] else kept[-1]
    return tuple(kept)


def thought_span(text: str) -> tuple[int, int] | None:
    """Characters of the thought within think tags; None where there are no tags.

    A thought that is not closed reaches to the end. Where only the closing tag stands, because the
    template opened the thought, it begins at the start.

    Args:
        text: What a model wrote.
    """
    for tag in THOUGHT_TAGS:
        opened, closed = text.find(f"<{tag}>"), text.find(f"</{tag}>")
        if opened < 0 and closed < 0:
            continue
        start = 0 if opened < 0 or 0 <= closed < opened else opened + len(tag) + 2
        end = len(text) if closed < 0 else closed
        inner = text[start:end]
        return start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())
    return None
