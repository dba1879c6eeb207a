"""Ways to alter a written thought, each with the answer that the altered thought then implies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from elicit.tasks import mentions, numbers, parse_number, plain, same_answer
from elicit.traces.thoughts import Thought

_OPERATORS = "+-*/×·÷^"
_SWAPPABLE = re.compile(r"(?<![\w.*/×^-])(\d+)(\s*[+×*]\s*)(\d+)(?=\s*=)")


@dataclass(frozen=True, kw_only=True)
class Altered:
    """A thought after an alteration."""

    text: str
    """What stands after the prompt now."""
    answer: str | None
    """The answer that it implies; None where it implies none of its own."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a thought its answer is concluded."""

    start: int
    """First character of the step that states it."""
    end: int
    """Character at which that step ends."""
    value: str
    """The value as it is compared: the answer of the thought."""


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
        text = _SWAPPABLE.sub(r"\3\2\1", thought.text)
        return None if text == thought.text else Altered(text=text, answer=None)


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


def value_spans(text: str, value: str) -> list[tuple[int, int]]:
    """Characters of a text that state a value: a number of that value, or the words themselves.

    Args:
        text: Any text.
        value: The value as a task spells it.
    """
    number = parse_number(value)
    even = plain(text)
    if number is not None and len(even) == len(text):
        return [(n.start, n.end) for n in numbers(even) if n.value == number and not n.glued]
    word = re.escape(value)
    return [m.span() for m in re.finditer(rf"(?<!\w){word}(?!\w)", text)]


def result_spans(text: str, value: str, start: int, end: int) -> list[tuple[int, int]]:
    """Where a part of a text states a value as a result, not as an operand.

    Results stand after `=` or `>` with no operator behind them; where there is none, the last place
    that states the value counts.

    Args:
        text: The whole text.
        value: The value.
        start: First character that is looked at.
        end: One past the last.
    """
    found = [(a, b) for a, b in value_spans(text[:end], value) if start <= a]
    return [span for span in found if _is_result(text, *span)] or found[-1:]


def _is_result(text: str, start: int, end: int) -> bool:
    after = text[end:].lstrip()
    before = text[:start].rstrip(" $*\\")
    return before.endswith(("=", ">")) and not after.startswith(tuple(_OPERATORS))


def last_value(text: str, candidates: Sequence[str]) -> str | None:
    """The last value that a text states: a number, or else a candidate; None if there is none.

    Args:
        text: Any text, such as a step.
        candidates: Answers of a task.
    """
    stated = [n.literal for n in numbers(plain(text)) if not n.glued]
    if stated:
        return stated[-1]
    named = mentions(text, candidates)
    return named[-1].candidate if named else None


def conclusion_place(
    thought: Thought, ends: Sequence[int], candidates: Sequence[str], *, earliest: int = 0
) -> Place | None:
    """The step in which a thought concludes with its answer.

    The first step, at or after `earliest`, that states the answer and after which no step ends in a
    value that was not stated before: checks of earlier steps may follow, new results may not. None
    where no step states the answer.

    Args:
        thought: The thought; its answer is its writer's, or the right one where none was given.
        ends: Characters at which its steps end.
        candidates: Answers of its problem.
        earliest: Character at which the step ends at the earliest, such as where a reader's answer
            settled.
    """
    value = thought.answer or thought.problem.answer
    starts = [0, *ends[:-1]]
    steps = list(zip(starts, ends, strict=True))
    results = [last_value(thought.text[a:b], candidates) for a, b in steps]
    spans = {
        i: [span for span in value_spans(thought.text[:b], value) if a <= span[0]]
        for i, (a, b) in enumerate(steps)
    }
    stating = [i for i in spans if any(_is_result(thought.text, *span) for span in spans[i])]
    # Prose states a result without a sign before it.
    stating = stating or [i for i in spans if spans[i]]
    if not stating:
        return None

    def news(i: int) -> bool:
        """Whether a step after this one ends in a value that no step up to it ended in."""
        seen = {results[k] for k in range(i + 1)} | {value}
        return any(result is not None and result not in seen for result in results[i + 1 :])

    settled = [i for i in stating if not news(i) and steps[i][1] >= earliest]
    chosen = settled[0] if settled else stating[-1]
    return Place(start=steps[chosen][0], end=steps[chosen][1], value=value)


def other_value(
    thought: Thought, value: str, candidates: Sequence[str], random: np.random.Generator
) -> str | None:
    """A value that a thought could have concluded with, and did not; None where there is none.

    Neither the right answer nor the thought's own; where possible one that is stated nowhere in it.

    Args:
        thought: The thought.
        value: What it concluded with.
        candidates: Answers of its problem; where the task names none, numbers near the value.
        random: Draws it.
    """
    taken = [value, thought.problem.answer]
    if thought.problem.candidates is not None:
        pool = list(candidates)
    else:
        number = parse_number(value)
        if number is None:
            pool = list(candidates)
        else:
            near = [number + step for step in (*range(-9, 0), *range(1, 10))]
            pool = [_spelled(x, value) for x in near if (x >= 0) == (number >= 0)]
    usable = [x for x in pool if not any(same_answer(x, other) for other in taken)]
    unseen = [x for x in usable if not value_spans(thought.text, x)]
    drawn = unseen or usable
    return drawn[int(random.integers(len(drawn)))] if drawn else None


def _spelled(number: object, like: str) -> str:
    """A number as text; whole numbers with the thousands commas of a model."""
    from fractions import Fraction

    value = Fraction(str(number))
    if value.denominator != 1:
        return f"{float(value):g}"
    return f"{int(value):,}" if "," in like else str(int(value))
