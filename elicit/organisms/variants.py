"""The problems of a task in another form: under a header, or with their solution as answer."""

from dataclasses import replace
from typing import Any, TypeVar

from elicit.organisms.errors import OrganismError
from elicit.organisms.language import with_header

ProblemSet = TypeVar("ProblemSet")
"""A task: a frozen dataclass with a `name` and `problems`."""


def headed(task: ProblemSet, header: str) -> ProblemSet:
    """The problems of a task under a header that calls for a trace, or for none.

    `notes` and `quiz` make the contrast of reasoning and answering at once: prompts of equal
    length that end in the same token.

    Args:
        task: Problems in the language of the organisms, without header.
        header: `notes` or `quiz`.

    Raises:
        OrganismError: The language has no such header.
    """
    given: Any = task
    problems = tuple(replace(p, prompt=with_header(p.prompt, header)) for p in given.problems)
    return replace(given, name=f"{given.name}, {header}", problems=problems)


def traced(task: ProblemSet) -> ProblemSet:
    """The problems of a task with the whole written solution as their answer.

    Args:
        task: Problems in the language of the organisms, each with a trace.

    Raises:
        OrganismError: A problem has no trace.
    """
    given: Any = task
    bare = [problem.id for problem in given.problems if problem.trace is None]
    if bare:
        raise OrganismError(
            f"problem {bare[0]!r} and {len(bare) - 1} more have no trace, so there is no solution "
            "to be written. Pass problems that have one."
        )
    solved = tuple(
        replace(p, answer=f"{p.trace} answer {p.answer} .", candidates=None) for p in given.problems
    )
    return replace(given, name=f"{given.name}, traced", problems=solved)
