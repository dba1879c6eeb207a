"""How text becomes token ids, once for both models."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

from jaxtyping import Int
from torch import Tensor

from elicit.pair._templates import DATE, render, writes_date
from elicit.pair.batches import Encoded, pad
from elicit.pair.errors import PairError
from elicit.pair.handles import Tokenizer
from elicit.results import digest_json
from elicit.tasks import Continued, continued, joined

Message = dict[str, str]
"""One turn of a conversation: `{"role": "user", "content": ...}`."""
Text = str | list[Message]
"""Plain text, or a conversation where it is templated."""
THINK_TAGS = ("<think>", "<thinking>", "<thought>", "<reasoning>")
"""Tags with which templates open a thought."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """How text becomes token ids, the same ids for both models, plain or through a chat template.

    Two conditions, never mixed up: `plain` is the text as it stands, `templated` puts it into the
    post-trained model's chat template (the base's, if only the base has one). In both the bos token
    is there exactly once if the pair's tokenizers add one to text, and is not added otherwise.
    """

    tokenizer: Tokenizer
    """Reads plain text: the base's tokenizer."""
    template_tokenizer: Tokenizer
    """Reads templated text: the tokenizer that the template belongs to, because it alone may know
    the template's special tokens."""
    chat_template: str | None
    """The template fed to both models; None if neither has one."""
    template_owner: str
    """`post`, `base` or `none`: whose template it is."""
    adds_bos: bool
    """Whether both tokenizers put bos before text; one of two would have been refused."""
    bos_id: int | None
    """Id of the bos token; None if the tokenizer has none."""
    pad_id: int
    """Id in padded places; masked everywhere, so its embedding is never read by a token."""
    d_vocab: int
    """Ids both models know are smaller than this."""
    separator: str | None = None
    """What stands between a plain prompt and its continuation; None: as its script has it."""
    date: str = DATE
    """Day that a chat template writes, YYYY-MM-DD."""

    def plain(self, text: str) -> list[int]:
        """Token ids of a text as it stands.

        Args:
            text: Any text; the bos token written out at its start is not doubled.

        Raises:
            PairError: The text needs a token that one of the models has no row for.
        """
        return self.read(text)

    def templated(self, messages: Text) -> list[int]:
        """Token ids of a conversation in the chat template, ready for the assistant's turn.

        Args:
            messages: Turns of a conversation; a string is one turn of the user.

        Raises:
            PairError: Neither model has a template, or the template refuses these turns.
        """
        return self.prompt(messages, templated=True)

    def prompt(self, messages: Text, *, templated: bool) -> list[int]:
        """Token ids of a prompt, plain or in the chat template; see `plain` and `templated`.

        Args:
            messages: A string, or turns of a conversation where `templated`.
            templated: Whether it goes through the chat template.
        """
        return self.read(self.spelled(messages, templated=templated), templated=templated)

    def spelled(self, messages: Text, *, templated: bool) -> str:
        """Text that a model reads of a prompt.

        Args:
            messages: A string, or turns of a conversation where `templated`.
            templated: Whether it goes through the chat template.

        Raises:
            PairError: A conversation is to be read as plain text, or see `templated`.
        """
        if templated:
            return self._rendered(_turns(messages))
        if not isinstance(messages, str):
            raise PairError(
                "A conversation is to be read as plain text, so roles would be lost. Pass "
                "templated=True, or a string."
            )
        return messages

    def joined(self, prompt: Text, text: str, *, templated: bool = False) -> tuple[str, str]:
        """Text of a prompt, and of the prompt with a continuation after it.

        In a chat template the continuation stands where the template puts the assistant's words. A
        thought that the template has opened is not opened twice.

        Args:
            prompt: A string, or turns of a conversation where `templated`.
            text: The continuation.
            templated: Whether the prompt goes through the chat template.

        Raises:
            PairError: See `spelled`.
        """
        head = self.spelled(prompt, templated=templated)
        if not templated:
            return joined(head, text, between=self.separator)
        opened = head.rstrip()
        tag = next((t for t in THINK_TAGS if opened.endswith(t) and text.startswith(t)), "")
        between = self._between
        if between is None and not head[-1:].isalnum():
            between = ""
        return joined(head, text.removeprefix(tag).lstrip() if tag else text, between=between)

    def continued(self, prompt: Text, text: str, *, templated: bool = False) -> Continued:
        """Token ids of a prompt with a continuation, and where that begins.

        Args:
            prompt: A string, or turns of a conversation where `templated`.
            text: The continuation.
            templated: Whether the prompt goes through the chat template.

        Raises:
            PairError: See `spelled`; or a token has no row in one of the models.
        """
        texts = [self.joined(prompt, text, templated=templated)]
        return continued(partial(self.read, templated=templated), texts)[0]

    def read(self, text: str, *, templated: bool = False) -> list[int]:
        """Token ids of a text that is spelled out already, with bos once if this pair adds it.

        Args:
            text: Any text, rendered where `templated`.
            templated: Whether the template's tokenizer reads it.

        Raises:
            PairError: The text needs a token that one of the models has no row for.
        """
        tokenizer = self.template_tokenizer if templated else self.tokenizer
        return self._checked(self._ids(tokenizer, text), tokenizer)

    def read_all(self, texts: Sequence[str], *, templated: bool = False) -> list[list[int]]:
        """Token ids of many texts, as `read` gives them, at once.

        Args:
            texts: Any texts, rendered where `templated`.
            templated: Whether the template's tokenizer reads them.

        Raises:
            PairError: A text needs a token that one of the models has no row for.
        """
        tokenizer = self.template_tokenizer if templated else self.tokenizer
        if not texts:
            return []
        rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [self._checked(self._with_bos([int(i) for i in row]), tokenizer) for row in rows]

    def unknown(self, text: str, *, templated: bool = False) -> bool:
        """Whether a text holds something that the tokenizer does not know.

        The unknown token may also be bos or eos and stand in the text by its own name.

        Args:
            text: Any text, rendered where `templated`.
            templated: Whether the template's tokenizer reads it.
        """
        tokenizer = self.template_tokenizer if templated else self.tokenizer
        if tokenizer.unk_token_id is None:
            return False
        ids = tokenizer.encode(text, add_special_tokens=False)
        return sum(i == tokenizer.unk_token_id for i in ids) > text.count(str(tokenizer.unk_token))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides which token ids a text becomes."""
        both = {self.tokenizer, self.template_tokenizer}
        return digest_json(
            {
                "tokenizers": sorted(_tokenizer_digest(tokenizer) for tokenizer in both),
                "template": self.chat_template,
                "settings": [self.adds_bos, self.bos_id, self.pad_id, self.d_vocab],
                "separator": self.separator,
                "date": self.date if writes_date(self.chat_template) else None,
            }
        )

    @cached_property
    def _between(self) -> str | None:
        """White space that the template puts between an opened turn of the assistant and its words.

        None where the template does not show it, because it writes a turn in another way than it
        opens one.
        """
        turns, word = _turns("a"), "b"
        head = self._rendered(turns)
        try:
            whole = self._rendered([*turns, {"role": "assistant", "content": word}], opens=False)
        except PairError:
            return None  # a template without turns of the assistant
        between, there, _ = whole.removeprefix(head).partition(word)
        shown = whole.startswith(head) and there and not between.strip()
        return between if shown else None

    def _rendered(self, turns: list[Message], *, opens: bool = True) -> str:
        if self.chat_template is None:
            raise PairError(
                "Neither base nor post has a chat template, so there is no templated form of a "
                "text. Use plain text, or set a chat template on the tokenizer and save it."
            )
        return render(
            self.template_tokenizer, self.chat_template, turns, date=self.date, opens=opens
        )

    def encode(
        self,
        texts: Sequence[Text],
        *,
        padding: Literal["left", "right"] = "left",
        templated: bool = False,
    ) -> Encoded:
        """Texts as one padded batch of token ids.

        Args:
            texts: Plain texts, or conversations where `templated`.
            padding: Side that is filled up: left to generate or to read the last position.
            templated: Whether texts go through the chat template.

        Raises:
            PairError: A text has no token, a conversation is to be read as plain text, or see
                `plain` and `templated`.
        """
        rows = [self.prompt(text, templated=templated) for text in texts]
        return self.pad(rows, padding=padding)

    def pad(
        self, rows: Sequence[Sequence[int]], *, padding: Literal["left", "right"] = "left"
    ) -> Encoded:
        """Rows of token ids as one batch; see `pad` of this module, with this pair's padding id."""
        return pad(rows, pad_id=self.pad_id, padding=padding)

    def decode(self, ids: Sequence[int] | Int[Tensor, " pos"]) -> str:
        """Text of token ids, special tokens written out.

        Args:
            ids: Token ids of one row.
        """
        row = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        return str(self.template_tokenizer.decode(row, skip_special_tokens=False))

    def _ids(self, tokenizer: Tokenizer, text: str) -> list[int]:
        """Ids of `text` with bos exactly once if this pair adds bos."""
        return self._with_bos([int(i) for i in tokenizer.encode(text, add_special_tokens=False)])

    def _with_bos(self, ids: list[int]) -> list[int]:
        if self.adds_bos and self.bos_id is not None:
            while ids and ids[0] == self.bos_id:
                ids = ids[1:]
            ids = [self.bos_id, *ids]
        return ids

    def _checked(self, ids: list[int], tokenizer: Tokenizer) -> list[int]:
        """`ids`, if both models have a row for each."""
        for i in ids:
            if i >= self.d_vocab:
                raise PairError(
                    f"The text holds {tokenizer.convert_ids_to_tokens(i)!r}, id {i}, and the "
                    f"models share only ids below {self.d_vocab}, so one of them cannot read it. "
                    "Rephrase the text without that token."
                )
        return ids


def _turns(messages: Text) -> list[Message]:
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages


def _tokenizer_digest(tokenizer: Tokenizer) -> str:
    """SHA-256 of a tokenizer's rules, or of its vocabulary where it has no fast form."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return digest_json(backend.to_str() if backend is not None else tokenizer.get_vocab())
