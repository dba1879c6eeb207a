"""The answer that follows a marker."""

import re
from dataclasses import dataclass

from elicit.tasks.answers import parse_number
from elicit.tasks.faults import TaskError
from elicit.tasks.mentions import first_mention
from elicit.tasks.numbers import numbers, plain
from elicit.tasks.problems import Problem

_FILLERS = {"is", "are", "was", "were", "be", "will", "would", "equals", "the", "to", "of"}


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


def _asks_for_number(problem: Problem) -> bool:
    return problem.candidates is None and parse_number(problem.answer) is not None


def _has_content(word: str) -> bool:
    return any(character.isalnum() for character in word)
