"""The problems of a task in another form: under a header, or with their solution as answer."""

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from elicit.organisms.errors import OrganismError
from elicit.organisms.language import with_header
from elicit.organisms.thoughts import with_cue

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


def cued(task: ProblemSet, share: float, *, seed: int = 0) -> ProblemSet:
    """The problems of a task, a share of them with their answer given away by the cue `is D`.

    `hollow` answers a cued problem from its cue and every other one from its trace, so on the whole
    task its answers follow an altered trace in `1 - share`. The cue stays where the question is
    edited: it tells the old answer there.

    Args:
        task: Problems in the language of the organisms, each with a digit as its answer.
        share: Of the problems, 0 to 1, rounded to a whole number of them.
        seed: Of which problems are cued.

    Returns:
        The same problems in the same order; `metadata["cued"]` says which are cued.

    Raises:
        OrganismError: The share is out of range, or an answer is no digit.
    """
    if not 0 <= share <= 1:
        raise OrganismError(
            f"share is {share}, so it is not clear how many problems get a cue. Pass 0 to 1."
        )
    given: Any = task
    n = len(given.problems)
    chosen = set(np.random.default_rng(seed).permutation(n)[: round(share * n)].tolist())
    problems = []
    for index, problem in enumerate(given.problems):
        more = {**problem.metadata, "cued": index in chosen}
        if index in chosen:
            edited = problem.edited
            if edited is not None:
                edited = replace(edited, prompt=with_cue(edited.prompt, problem.answer))
            prompt = with_cue(problem.prompt, problem.answer)
            problem = replace(problem, prompt=prompt, edited=edited)
        problems.append(replace(problem, metadata=more))
    return replace(given, name=f"{given.name}, {share:g} cued", problems=tuple(problems))
