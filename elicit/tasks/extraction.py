r"""From a completion to the answer that it gives, and whether that is the right one.

>>> problem = Problem(id="1", prompt="2 + 3 =", answer="5")
>>> check("2 + 3 = 5, because 3 + 2 = 5.", problem)
Graded(extracted='5', correct=True)
>>> check(r"So it is \boxed{\frac{10}{2}}.", problem, extractor("boxed"))
Graded(extracted='\\frac{10}{2}', correct=True)
"""

import threading
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from elicit.tasks.answers import same_answer
from elicit.tasks.extractor_names import NAMES
from elicit.tasks.faults import TaskError, shown
from elicit.tasks.marker import AfterMarker
from elicit.tasks.named import boxed, choice, gsm8k, last_candidate, last_number
from elicit.tasks.problems import Problem
from elicit.tasks.task import Task

_TIMEOUT_S = 5


@runtime_checkable
class Extractor(Protocol):
    """Anything that finds the answer given in a completion."""

    def __call__(self, completion: str, problem: Problem) -> str | None:
        """Answer that the completion gives, or None if it gives none.

        Args:
            completion: Text that the model wrote after the prompt.
            problem: The problem; its right answer must not guide the search.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Graded:
    """What a completion answered."""

    extracted: str | None
    """The answer as the extractor found it; None if there was none."""
    correct: bool
    """Whether it is the right one; an answer that was not found is wrong."""


def math_verify(completion: str, problem: Problem) -> str | None:
    """Answer as math-verify reads it: the right one where the two are equal as mathematics.

    Args:
        completion: Text that the model wrote.
        problem: Its answer is given back where math-verify finds the completion's equal to it.

    Raises:
        TaskError: The package `math-verify` is not installed.
    """
    try:
        from math_verify import parse, verify  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise TaskError(
            "The extractor 'math-verify' needs the package math-verify, which is not installed, so "
            "no completion could be graded. Run: python -m pip install math-verify"
        ) from error
    # Its time limit is an alarm signal, which only the main thread may set.
    in_main = threading.current_thread() is threading.main_thread()
    limit = _TIMEOUT_S if in_main else None
    given = parse(completion, parsing_timeout=limit)
    if not given:
        return None
    for right in (f"${problem.answer}$", problem.answer):
        if verify(parse(right, parsing_timeout=limit), given, timeout_seconds=limit):
            return problem.answer
    return str(given[-1])


def default_extractor(completion: str, problem: Problem) -> str | None:
    """What the problem's own extractor finds, else the candidate named last, else the last number.

    Args:
        completion: Text that the model wrote.
        problem: Decides by its extractor and its candidates what is looked for.
    """
    if problem.extractor not in (None, "default"):
        return extractor(problem.extractor)(completion, problem)
    find = last_number if problem.candidates is None else last_candidate
    return find(completion, problem)


_EXTRACTORS: dict[str, Extractor] = {
    "default": default_extractor,
    "last-candidate": last_candidate,
    "last-number": last_number,
    "boxed": boxed,
    "choice": choice,
    "gsm8k": gsm8k,
    "math-verify": math_verify,
}


def extractor(name: str) -> Extractor:
    """Extractor by the name it has on the command line.

    Args:
        name: `default`, `last-candidate`, `last-number`, `boxed`, `choice`, `gsm8k`, `math-verify`,
            or `marker:WORD`.

    Raises:
        TaskError: No extractor has that name.
    """
    if name in _EXTRACTORS:
        return _EXTRACTORS[name]
    head, colon, marker = name.partition(":")
    if head == "marker" and colon:
        return AfterMarker(marker)
    raise TaskError(
        f"There is no extractor {shown(name)}, so completions could not be graded. Use one of "
        f"{', '.join(NAMES)}, marker:WORD."
    )


def check(completion: str, problem: Problem, extractor: Extractor = default_extractor) -> Graded:
    """Whether a completion gives the right answer.

    Args:
        completion: Text that the model wrote, without the prompt.
        problem: The problem.
        extractor: How the answer is found.
    """
    extracted = extractor(completion, problem)
    if extracted is None:
        return Graded(extracted=None, correct=False)
    if problem.candidates is not None and extracted in problem.candidates:
        # A candidate is only itself, also beside one that differs from it in case alone.
        return Graded(extracted=extracted, correct=extracted == problem.answer)
    return Graded(extracted=extracted, correct=same_answer(extracted, problem.answer))


def ungradable(task: Task, extractor: Extractor = default_extractor) -> tuple[str, ...]:
    r"""Ids of problems whose right answer an extractor does not find even when it is just written.

    A task whose every problem is ungradable would show an accuracy of 0 that says nothing about
    the model. Tried are the bare answer, `answer X .`, `\boxed{X}`, `$X$`, `#### X`, and an
    extractor's own marker.

    Args:
        task: Problems about to be run.
        extractor: How answers will be found.
    """
    return tuple(
        problem.id
        for problem in task.problems
        if not any(
            check(form.format(problem.answer), problem, extractor).correct
            for form in _forms(problem, extractor)
        )
    )


def _forms(problem: Problem, asked: Extractor) -> tuple[str, ...]:
    """Ways of just writing an answer down, those of the problem's own extractor included."""
    own = problem.extractor is not None and asked is default_extractor
    used = extractor(str(problem.extractor)) if own else asked
    marker = used.marker if isinstance(used, AfterMarker) else "answer"
    own_marker = marker.replace("{", "{{") + " {} ."
    return ("{}", "answer {} .", r"\boxed{{{}}}", "${}$", "#### {}", own_marker)
