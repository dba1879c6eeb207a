"""Ways to alter a written thought, each with the answer that the altered thought then implies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from elicit.tasks import same_answer
from elicit.traces.stating import Place, other_value, result_spans
from elicit.traces.thoughts import Thought

_WHOLE = r"\d+(?:,\d{3})*"
_SWAPPABLE = re.compile(rf"(?<![\w.,])({_WHOLE})(\s*[+×*·]\s*)({_WHOLE})(?=\s*=)")


@dataclass(frozen=True, kw_only=True)
class Altered:
    """A thought after an alteration."""

    text: str
    """What stands after the prompt now."""
    answer: str | None
    """The answer that it implies; None where it implies none of its own."""


@runtime_checkable
class Alteration(Protocol):
    """Anything that alters a thought."""

    @property
    def name(self) -> str:
        """What figures and tables call it."""
        ...

    def __call__(
        self,
        thought: Thought,
        place: Place,
        candidates: Sequence[str],
        others: Sequence[Thought],
        random: np.random.Generator,
    ) -> Altered | None:
        """The altered thought; None where this thought cannot be altered so.

        Args:
            thought: What is altered.
            place: Where its answer is concluded.
            candidates: Answers among which the reader chooses; an implied one may be another.
            others: Thoughts on other problems.
            random: Draws whatever is drawn.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ResultChanged:
    """The value that the thought concludes with is another one, and the text ends there."""

    name: str = "result changed"
    cut_at_conclusion: bool = True
    """Whether what follows the conclusion is dropped; else the value is changed there as well."""

    def __call__(
        self,
        thought: Thought,
        place: Place,
        candidates: Sequence[str],
        others: Sequence[Thought],
        random: np.random.Generator,
    ) -> Altered | None:
        """See `Alteration`."""
        new = other_value(thought, place.value, candidates, random)
        if new is None:
            return None
        until = place.end if self.cut_at_conclusion else len(thought.text)
        spans = result_spans(thought.text, place.value, place.start, until)
        if not spans:
            return None
        text = thought.text[:until]
        for start, end in reversed(spans):
            text = text[:start] + new + text[end:]
        return Altered(text=text, answer=new)


@dataclass(frozen=True, kw_only=True)
class OtherThought:
    """The thought on another problem, with another answer. No part of a text is understood."""

    name: str = "other problem's thought"

    def __call__(
        self,
        thought: Thought,
        place: Place,
        candidates: Sequence[str],
        others: Sequence[Thought],
        random: np.random.Generator,
    ) -> Altered | None:
        """See `Alteration`."""
        right = thought.problem.answer
        usable = [
            other
            for other in others
            if other.problem.id != thought.problem.id
            and other.answer is not None
            and not same_answer(other.answer, right)
            and not same_answer(other.answer, place.value)
        ]
        if not usable:
            return None
        drawn = usable[int(random.integers(len(usable)))]
        return Altered(text=drawn.text, answer=drawn.answer)


@dataclass(frozen=True, kw_only=True)
class OperandsSwapped:
    """`a + b =` as `b + a =`: another text with the same meaning, so the answer should stay."""

    name: str = "operands swapped"

    def __call__(
        self,
        thought: Thought,
        place: Place,
        candidates: Sequence[str],
        others: Sequence[Thought],
        random: np.random.Generator,
    ) -> Altered | None:
        """See `Alteration`."""
        text = _SWAPPABLE.sub(_swapped, thought.text)
        return None if text == thought.text else Altered(text=text, answer=None)


def _swapped(match: re.Match[str]) -> str:
    """Two operands the other way round, unless the first belongs to what stands before it."""
    before = match.string[: match.start()].rstrip(" $")
    product = "+" not in match[2]
    bound = before.endswith(("/", "÷", "^", "**") if product else tuple("*/×·÷^-"))
    return match[0] if bound else f"{match[3]}{match[2]}{match[1]}"


@dataclass(frozen=True, kw_only=True)
class Filler:
    """As many words of filler as the thought has: its length without its content."""

    name: str = "filler"
    word: str = "."

    def __call__(
        self,
        thought: Thought,
        place: Place,
        candidates: Sequence[str],
        others: Sequence[Thought],
        random: np.random.Generator,
    ) -> Altered | None:
        """See `Alteration`."""
        return Altered(text=" ".join([self.word] * len(thought.text.split())), answer=None)
