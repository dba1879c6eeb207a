"""Where a written thought states its answer, and what else it could have stated."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elicit.tasks import (
    ends_word,
    mentions,
    parse_number,
    plain,
    same_answer,
    starts_word,
)
from elicit.traces.thoughts import Thought
from elicit.traces.units import stated_numbers
from elicit.traces.values import near_values

_OPERATORS = "+-*/×·÷^"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in a thought its answer is concluded."""

    start: int
    """First character of the step that states it."""
    end: int
    """Character at which that step ends."""
    value: str
    """The value as it is compared: the answer of the thought."""


def value_spans(text: str, value: str) -> list[tuple[int, int]]:
    """Characters of a text that state a value: a number of that value, or the words themselves.

    Args:
        text: Any text.
        value: The value as a task spells it.
    """
    number = parse_number(value)
    if number is not None:
        even = _in_place(text)
        return [(n.start, n.end) for n in stated_numbers(even) if n.value == number]
    word = r"\s+".join(map(re.escape, value.split()))
    # A choice `A` is not the article, and Chinese names stand without spaces around them.
    case = 0 if len(value.strip()) == 1 else re.IGNORECASE
    found = [match.span() for match in re.finditer(word, text, case)]
    return [(a, b) for a, b in found if starts_word(text, a) and ends_word(text, b)]


def _in_place(text: str) -> str:
    """A text as `plain` returns it, every character where it was."""
    even = plain(text)
    return even if len(even) == len(text) else "".join((plain(c) or " ")[0] for c in text)


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


def _last_value(text: str, start: int, end: int, candidates: Sequence[str]) -> str | None:
    """The last value that a step states: a number, or else a candidate; None if there is none."""
    stated = [n.literal for n in stated_numbers(_in_place(text)) if start < n.end <= end]
    if stated:
        return stated[-1]
    named = mentions(text[start:end], candidates)
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
    results = [_last_value(thought.text, a, b, candidates) for a, b in steps]
    stated = value_spans(thought.text, value)
    # A cut may fall inside a number, which belongs to the step where it ends.
    spans = {i: [span for span in stated if a < span[1] <= b] for i, (a, b) in enumerate(steps)}
    stating = [i for i in spans if any(_is_result(thought.text, *span) for span in spans[i])]
    # Prose states a result without a sign before it.
    stating = stating or [i for i in spans if spans[i]]
    if not stating:
        return None

    def news(i: int) -> bool:
        """Whether a step after this one ends in a value that no step up to it ended in."""
        seen = [*filter(None, results[: i + 1]), value]
        later = filter(None, results[i + 1 :])
        return any(not any(same_answer(result, old) for old in seen) for result in later)

    settled = [i for i in stating if not news(i) and steps[i][1] >= earliest]
    chosen = settled[0] if settled else stating[-1]
    start = min(steps[chosen][0], spans[chosen][0][0])
    return Place(start=start, end=steps[chosen][1], value=value)


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
    pool = list(candidates)
    if thought.problem.candidates is None:
        pool = near_values(value) or pool
    usable = [x for x in pool if not any(same_answer(x, other) for other in taken)]
    unseen = [x for x in usable if not value_spans(thought.text, x)]
    drawn = unseen or usable
    return drawn[int(random.integers(len(drawn)))] if drawn else None
