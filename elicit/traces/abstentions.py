"""Texts that say that a question has no answer, and leave it at that."""

from collections.abc import Sequence

from elicit.tasks import Problem, mentions, numbers, plain
from elicit.traces.markers import places_of

ABSTENTIONS = (
    "cannot be determined",
    "can't be determined",
    "cannot determine",
    "cannot be answered",
    "cannot be solved",
    "not enough information",
    "insufficient information",
    "unanswerable",
    "is missing",
    "not specified",
    "is unknown",
)
"""Phrases of an explicit abstention. That a text gives no number is none: it may be broken."""


def abstains(text: str, problem: Problem, markers: Sequence[str] = ABSTENTIONS) -> bool:
    """Whether a text says that there is no answer, and names none after that.

    Args:
        text: What a model wrote.
        problem: Its problem.
        markers: Words or phrases, found as whole words in any case.

    Raises:
        TraceError: Markers are empty or there twice.
    """
    ends = [end for found in places_of(text, markers) for _, end in found]
    if not ends:
        return False
    rest = text[max(ends) :]
    if problem.candidates is not None:
        return not mentions(rest, problem.candidates)
    return not list(numbers(plain(rest)))
