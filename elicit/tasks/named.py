"""The answer that a text names: a candidate, a number, what stands in a box."""

import re

from elicit.tasks.marker import AfterMarker
from elicit.tasks.mentions import last_mention
from elicit.tasks.numbers import numbers, plain
from elicit.tasks.problems import Problem

_ANSWER, _HASHES = AfterMarker("answer"), AfterMarker("####")


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


def boxed(completion: str, problem: Problem) -> str | None:
    r"""Content of the last complete `\boxed{...}`, braces inside it included.

    Args:
        completion: Text that the model wrote.
        problem: If a candidate is named in the box, it is given as the task spells it.
    """
    found = last_box(completion)
    if found is None:
        return None
    if problem.candidates is not None:
        return last_mention(found, problem.candidates) or found
    return found


def gsm8k(completion: str, problem: Problem) -> str | None:
    """What follows the last `####`, as in the solutions of GSM8K, else the last number.

    Args:
        completion: Text that the model wrote.
        problem: Decides by its answer whether a number is looked for.
    """
    return _HASHES(completion, problem) or last_number(completion, problem)


def choice(completion: str, problem: Problem) -> str | None:
    r"""The candidate that a text gives as its answer: in a box, after `answer`, else the last.

    Args:
        completion: Text that the model wrote.
        problem: One with candidates; without, nothing is found.
    """
    if problem.candidates is None:
        return None
    for found in (last_box(completion), _ANSWER(completion, problem)):
        named = None if found is None else last_mention(found, problem.candidates)
        if named is not None:
            return named
    return last_candidate(completion, problem)


def last_box(text: str) -> str | None:
    """What stands in the box that is opened last, among those that are closed and not empty.

    Args:
        text: As a person or a model wrote it.
    """
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
