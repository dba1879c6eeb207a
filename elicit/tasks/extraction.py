r"""From a completion to the answer that it gives, and whether that is the right one.

>>> problem = Problem(id="1", prompt="2 + 3 =", answer="5")
>>> check("2 + 3 = 5, because 3 + 2 = 5.", problem)
Graded(extracted='5', correct=True)
>>> check(r"So it is \boxed{\frac{10}{2}}.", problem, extractor("boxed"))
Graded(extracted='\\frac{10}{2}', correct=True)
"""

import re
import threading
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from elicit.tasks.answers import parse_number, same_answer
from elicit.tasks.faults import TaskError, shown
from elicit.tasks.mentions import first_mention, last_mention
from elicit.tasks.numbers import numbers, plain
from elicit.tasks.problems import Problem
from elicit.tasks.task import Task

_FILLERS = {"is", "are", "was", "were", "be", "will", "would", "equals", "the", "to", "of"}
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


def last_candidate(completion: str, problem: Problem) -> str | None:
    """The candidate named last, as the task spells it.

    Named means standing as a whole word, in any case, or as a whole number of the same value; where
    names overlap, the longest counts. See `elicit.tasks.mentions`.

    Args:
        completion: Text that the model wrote.
        problem: One with candidates; without, nothing is found.
    """
    return None if problem.candidates is None else last_mention(completion, problem.candidates)


def last_number(completion: str, problem: Problem) -> str | None:
    """The number named last, without separators, currency, percent sign or unit.

    Args:
        completion: Text that the model wrote.
        problem: Not looked at.
    """
    found = list(numbers(plain(completion)))
    return found[-1].literal if found else None


@dataclass(frozen=True)
class AfterMarker:
    """What follows the last marker that is followed by anything.

    With candidates it is the first of them named there. Without, it is the first number if the
    right answer is a number, else the first words, as many as the right answer has.
    """

    marker: str
    """Word or phrase, found as a whole and in any case."""

    def __post_init__(self) -> None:
        """Refuse a marker that is found everywhere."""
        if not self.marker.strip():
            raise TaskError(
                "The marker is empty, so every place in a completion would follow it. Name the "
                "word before the answer, for example marker:answer."
            )

    def __call__(self, completion: str, problem: Problem) -> str | None:
        """Answer after the last marker, or None where there is no marker."""
        text = plain(completion)
        words = r"\s+".join(re.escape(word) for word in plain(self.marker).split())
        left = r"(?<!\w)" if self.marker.strip()[0].isalnum() else ""
        right = r"(?!\w)" if self.marker.strip()[-1].isalnum() else ""
        end = len(text)
        for match in reversed(list(re.finditer(left + words + right, text, re.IGNORECASE))):
            found = self._first(text[match.end() : end], problem)
            if found is not None:
                return found
            end = match.start()
        return None

    def _first(self, text: str, problem: Problem) -> str | None:
        if problem.candidates is not None:
            named = first_mention(text, problem.candidates)
            if named is not None:
                return named
        if _asks_for_number(problem):
            number = next(numbers(text), None)
            if number is not None:
                return number.literal
        words = text.split()
        while words and (words[0].casefold() in _FILLERS or not _has_content(words[0])):
            del words[0]
        n_words = len(problem.answer.split())
        return " ".join(words[:n_words]).strip(".,;:!?\"'`*_ ") or None


def after_marker(marker: str) -> AfterMarker:
    """Extractor that reads what follows the last `marker` in a completion.

    Args:
        marker: Word or phrase, found as a whole and in any case.

    Raises:
        TaskError: The marker is empty.
    """
    return AfterMarker(marker)


def boxed(completion: str, problem: Problem) -> str | None:
    r"""Content of the last complete `\boxed{...}`, braces inside it included.

    Args:
        completion: Text that the model wrote.
        problem: If a candidate is named in the box, it is given as the task spells it.
    """
    found = _last_box(completion)
    if found is None:
        return None
    if problem.candidates is not None:
        return last_mention(found, problem.candidates) or found
    return found


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
    """The candidate named last, or the last number where the problem has no candidates.

    Args:
        completion: Text that the model wrote.
        problem: Decides by its candidates what is looked for.
    """
    find = last_number if problem.candidates is None else last_candidate
    return find(completion, problem)


_EXTRACTORS: dict[str, Extractor] = {
    "default": default_extractor,
    "last-candidate": last_candidate,
    "last-number": last_number,
    "boxed": boxed,
    "math-verify": math_verify,
}


def extractor(name: str) -> Extractor:
    """Extractor by the name it has on the command line.

    Args:
        name: `default`, `last-candidate`, `last-number`, `boxed`, `math-verify`, or `marker:WORD`.

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
        f"{', '.join(_EXTRACTORS)}, marker:WORD."
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
    the model. Tried are the bare answer, `answer X .`, `\boxed{X}`, `$X$`, and an extractor's own
    marker.

    Args:
        task: Problems about to be run.
        extractor: How answers will be found.
    """
    marker = extractor.marker if isinstance(extractor, AfterMarker) else "answer"
    forms = ("{}", "answer {} .", r"\boxed{{{}}}", "${}$", marker.replace("{", "{{") + " {} .")
    return tuple(
        problem.id
        for problem in task.problems
        if not any(check(form.format(problem.answer), problem, extractor).correct for form in forms)
    )


def _asks_for_number(problem: Problem) -> bool:
    return problem.candidates is None and parse_number(problem.answer) is not None


def _has_content(word: str) -> bool:
    return any(character.isalnum() for character in word)


def _last_box(text: str) -> str | None:
    """What stands in the box that is opened last, among those that are closed and not empty."""
    opened: list[tuple[bool, int]] = []
    last, found = -1, None
    for match in re.finditer(r"(?P<box>\\boxed\s*\{)|\\.|(?P<brace>[{}])", text, re.DOTALL):
        if match["box"] or match["brace"] == "{":
            opened.append((bool(match["box"]), match.end()))
        elif match["brace"] and opened:
            is_box, start = opened.pop()
            if is_box and start > last:
                content = text[start : match.start()].strip()
                last, found = (start, content) if content else (last, found)
    return found
