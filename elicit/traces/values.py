"""Answers that stand beside a right one where a task names no candidates."""

from collections.abc import Sequence
from fractions import Fraction

from elicit.tasks import Problem, parse_number, same_answer


def distinct(answers: Sequence[str]) -> tuple[str, ...]:
    """Answers of different values, the first spelling of each.

    Args:
        answers: In order of preference.
    """
    kept: list[str] = []
    for answer in answers:
        if answer.strip() and not any(same_answer(answer, other) for other in kept):
            kept.append(answer.strip())
    return tuple(kept)


def near_values(value: str) -> list[str]:
    """Numbers of the same sign that differ from a value by 1 to 9; none for what is not a number.

    Args:
        value: The value, whose spelling they take on.
    """
    number = parse_number(value)
    if number is None:
        return []
    near = [number + step for step in (*range(-9, 0), *range(1, 10))]
    return [_spelled(x, value) for x in near if (x >= 0) == (number >= 0)]


def told_apart(problem: Problem, pool: Sequence[str], *, written: bool) -> tuple[str, ...]:
    """A problem's candidates, or its pool with every kind of answer that may come to join it.

    Args:
        problem: The problem.
        pool: Answers among which its own is read.
        written: Whether models write answers of their own, which may be any number.
    """
    number = parse_number(problem.answer)
    if problem.candidates is not None or number is None:
        return tuple(pool)
    more = near_values(problem.answer)
    if number.denominator == 1 and number >= 0:
        more.append(_spelled(10 * number + 1, problem.answer))
        more += [_spelled(number + Fraction(1, 2), "")] if written else []
    return distinct([*pool, *more])


def _spelled(number: Fraction, like: str) -> str:
    """A number as text: whole, with decimals or as a ratio; with the commas of a model."""
    shown = "," if "," in like else ""
    if number.denominator == 1:
        return f"{int(number):{shown}}"
    decimals = max(_n_decimals(number), len(like.partition(".")[2].rstrip(" %$.")))
    if "/" in like or "frac" in like or not decimals:
        return f"{number.numerator}/{number.denominator}"
    scaled = abs(number) * 10**decimals
    whole, part = divmod(int(scaled), 10**decimals)
    return f"{'-' * (number < 0)}{whole:{shown}}.{part:0{decimals}d}"


def _n_decimals(number: Fraction) -> int:
    """Decimals that write a number exactly; 0 where none do."""
    return next((n for n in range(1, 40) if 10**n % number.denominator == 0), 0)
