"""Written texts with the places at which a model is asked for its answer, as token ids.

A lane leaves a text at a cut: the lead-in and a candidate answer follow the text up to there, and
see nothing of what was written later. Candidates of one lane share the tokens that they begin with.
"""

from dataclasses import dataclass

from elicit.pair import Text
from elicit.tasks import shown
from elicit.texts._trie import Trie
from elicit.texts.errors import TextError


@dataclass(frozen=True, kw_only=True)
class AnswerForm:
    """How an answer is asked for."""

    lead_in: str
    """Text between the thought and the answer, such as `The answer is`; may be empty."""
    end: str = ""
    """Text that closes an answer and is scored with it; needed where one candidate's tokens begin
    another's."""
    templated: bool = False
    """Whether prompts go through the chat template."""


@dataclass(frozen=True, kw_only=True)
class CutText:
    """A prompt, what was written after it, and where its reader is asked for the answer.

    Raises:
        TextError: There is no cut or no candidate, or a cut lies outside the text.
    """

    problem: str
    """Id of its problem, the unit of every interval."""
    prompt: Text
    """Text of the prompt, or turns of a conversation where it is templated."""
    text: str
    """What was written: the thought, without the answer. May be empty."""
    cuts: tuple[int, ...]
    """Characters of the text that are read before the answer is asked for, ascending."""
    candidates: tuple[str, ...]
    """Answers whose probability is read at every cut, each different."""

    def __post_init__(self) -> None:
        """Refuse what could not be read."""
        ascending = all(a < b for a, b in zip(self.cuts, self.cuts[1:], strict=False))
        if not self.cuts or self.cuts[0] < 0 or self.cuts[-1] > len(self.text) or not ascending:
            raise TextError(
                f"the text of problem {shown(self.problem)} has {len(self.text)} characters and "
                f"its cuts are {list(self.cuts)}, so an answer would be asked for at another "
                "place. Pass at least one cut, ascending, within the text."
            )
        if not self.candidates or len(set(self.candidates)) < len(self.candidates):
            raise TextError(
                f"the candidates of problem {shown(self.problem)} are "
                f"{shown(list(self.candidates))}, and an answer is chosen among different ones. "
                "Name each once."
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class Lane:
    """What follows a text at one cut."""

    at: int
    """Tokens of the row before it."""
    trie: Trie
    """Tokens that are run."""
    reads: tuple[tuple[tuple[int, int], ...], ...]
    """Of each candidate: node (-1: the row's last token before the cut) and token read there."""

    @property
    def n_nodes(self) -> int:
        """Tokens that are run."""
        return len(self.trie.token)

    @property
    def reach(self) -> int:
        """Positions needed, from the start of the row."""
        return self.at + max((depth + 1 for depth in self.trie.depth), default=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class EncodedText:
    """Token ids of a text, and its lanes."""

    ids: tuple[int, ...]
    """Prompt and text."""
    start: int
    """First token of the text."""
    lanes: tuple[Lane, ...]
    """One for each cut."""
    text_at: tuple[int, ...]
    """Tokens of the text before each cut."""
    ends: tuple[int, ...] = ()
    """Character of the text at which each of its tokens ends; empty where the tokenizer does not
    tell."""
