"""The one final answer of a written text, and the tokens that spell it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from elicit.tasks import AfterMarker, Extractor, Problem, boxed, check, plain, same_answer
from elicit.traces import value_spans


@dataclass(frozen=True, kw_only=True)
class FinalAnswer:
    """An answer and where a text spells it."""

    value: str
    """The answer as it was extracted."""
    right: bool
    """Whether it is the right one."""
    first: int
    """First token that spells it."""
    end: int
    """Token after the last."""


def final_answer(
    ids: Sequence[int],
    problem: Problem,
    extractor: Extractor,
    *,
    read: Callable[[Sequence[int]], str],
) -> FinalAnswer | None:
    """The final answer of a text, or None where it names none, or several as final.

    Args:
        ids: Token ids of the text.
        problem: Its problem.
        extractor: How its answer is found.
        read: Text of token ids, special tokens left out.
    """
    text = read(ids)
    found = check(text, problem, extractor)
    if found.extracted is None or _names_others(text, problem, extractor, found.extracted):
        return None
    span = _span(text, found.extracted, extractor)
    if span is None:
        return None
    first, end = (_tokens_before(ids, at, read) for at in (span[0] + 1, span[1]))
    return FinalAnswer(value=found.extracted, right=found.correct, first=first - 1, end=end)


def _names_others(text: str, problem: Problem, extractor: Extractor, value: str) -> bool:
    """Whether an earlier place that is marked as final names another answer."""
    if isinstance(extractor, AfterMarker):
        places = [match.start() for match in _marker(extractor).finditer(text)]
    elif extractor is boxed:
        places = [match.start() for match in re.finditer(r"\\boxed", text)]
    else:
        return False
    earlier = (extractor(text[:at], problem) for at in places)
    return any(each is not None and not same_answer(each, value) for each in earlier)


def _marker(extractor: AfterMarker) -> re.Pattern[str]:
    words = r"\s+".join(re.escape(word) for word in plain(extractor.marker).split())
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def _span(text: str, value: str, extractor: Extractor) -> tuple[int, int] | None:
    """Characters that spell the answer: the last place, or the first after the last marker."""
    spans = value_spans(text, value)
    if isinstance(extractor, AfterMarker):
        marked = [match.end() for match in _marker(extractor).finditer(text)]
        after = [span for span in spans if marked and span[0] >= marked[-1]]
        return (after or spans or [_literal(text, value)])[0]
    return (spans or [_literal(text, value)])[-1]


def _literal(text: str, value: str) -> tuple[int, int] | None:
    """The last place where a text has an answer letter for letter."""
    at = text.rfind(value)
    return (at, at + len(value)) if at >= 0 and value else None


def _tokens_before(ids: Sequence[int], n_chars: int, read: Callable[[Sequence[int]], str]) -> int:
    """Fewest tokens whose text has so many characters."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(read(ids[:middle])) >= n_chars:
            high = middle
        else:
            low = middle + 1
    return low
