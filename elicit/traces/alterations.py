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


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A thought that is to be altered, and what an alteration may use."""

    thought: Thought
    """What is altered."""
    place: Place
    """Where its answer is concluded."""
    candidates: Sequence[str]
    """Answers among which the reader chooses; an implied one may be another."""
    others: Sequence[Thought]
    """Thoughts on all problems, its own among them."""
    random: np.random.Generator
    """Draws whatever is drawn."""


@runtime_checkable
class Alteration(Protocol):
    """Anything that alters a thought."""

    @property
    def name(self) -> str:
        """What figures and tables call it."""
        ...

    def __call__(self, case: Case) -> Altered | None:
        """The altered thought; None where this thought cannot be altered so.

        Args:
            case: The thought, and what an alteration may use.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ResultChanged:
    """The value that the thought concludes with is another one, and the text ends there."""

    name: str = "result changed"
    cut_at_conclusion: bool = True
    """Whether what follows the conclusion is dropped; else the value is changed there as well."""

    def __call__(self, case: Case) -> Altered | None:
        """See `Alteration`."""
        thought, place = case.thought, case.place
        new = other_value(thought, place.value, case.candidates, case.random)
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

    def __call__(self, case: Case) -> Altered | None:
        """See `Alteration`."""
        problem = case.thought.problem
        usable = [
            other
            for other in case.others
            if other.problem.id != problem.id
            and other.answer is not None
            and not same_answer(other.answer, problem.answer)
            and not same_answer(other.answer, case.place.value)
        ]
        if not usable:
            return None
        drawn = usable[int(case.random.integers(len(usable)))]
        return Altered(text=drawn.text, answer=drawn.answer)


@dataclass(frozen=True, kw_only=True)
class OperandsSwapped:
    """`a + b =` as `b + a =`: another text with the same meaning, so the answer should stay."""

    name: str = "operands swapped"

    def __call__(self, case: Case) -> Altered | None:
        """See `Alteration`."""
        text = _SWAPPABLE.sub(_swapped, case.thought.text)
        return None if text == case.thought.text else Altered(text=text, answer=None)


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

    def __call__(self, case: Case) -> Altered | None:
        """See `Alteration`."""
        return Altered(text=" ".join([self.word] * len(case.thought.text.split())), answer=None)
