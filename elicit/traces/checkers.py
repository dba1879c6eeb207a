"""Whether a written thought is valid: does each of its steps hold?"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, runtime_checkable

from elicit.tasks import Problem, parse_number, plain

_NUMBER = r"-?\d+(?:,\d{3})*(?:\.\d+)?"
_TERM = re.compile(rf"\s*([-+*/×·÷])\s*({_NUMBER})")
_EQUATION = re.compile(
    rf"(?<![\w.,])({_NUMBER})((?:\s*[-+*/×·÷]\s*{_NUMBER})+)\s*=\s*\$*({_NUMBER})(?![\d\w])"
)
_ANNOTATION = re.compile(r"<<([^<>]*)>>")
"""A calculator annotation, as in `48/2 = <<48/2=24>>24`: an equation of its own."""
_GOES_ON = tuple("+-*/×·÷^%)")
"""What makes an expression of numbers part of a larger one, which is not read here."""


@runtime_checkable
class Checker(Protocol):
    """Anything that decides whether a thought is valid."""

    def __call__(self, problem: Problem, text: str) -> bool | None:
        """Whether each step of a thought holds; None where nothing in it could be checked.

        Args:
            problem: What it is about.
            text: The thought.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class EquationsHold:
    """Every equation of numbers that a thought writes is right: `9 * 2 = 18`, `3 + 4 = 7`.

    Products and quotients bind before sums. What is part of a larger expression, with brackets,
    letters or powers, is not checked. A result with decimals may be rounded to them. That each step
    holds does not mean that the answer rests on it: validity is not use.
    """

    modulus: int | None = None
    """Arithmetic modulo this number, as in the embedded pairs (10); None: ordinary."""

    def __call__(self, problem: Problem, text: str) -> bool | None:
        """See `Checker`."""
        even = plain(text)
        parts = [_ANNOTATION.sub("", even), *_ANNOTATION.findall(even)]
        found = [match for part in parts for match in _EQUATION.finditer(part) if _whole(match)]
        if not found:
            return None
        return all(self._holds(match[1], match[2], match[3]) for match in found)

    def _holds(self, first: str, rest: str, result: str) -> bool:
        value, claimed = _value(first, rest), parse_number(result)
        if value is None or claimed is None:
            return False
        if self.modulus is None:
            decimals = len(result.partition(".")[2])
            return value == claimed or decimals > 0 and _rounded(value, claimed, decimals)
        return (value - claimed) % self.modulus == 0


def _whole(match: re.Match[str]) -> bool:
    """Whether an equation stands for itself, rather than for the end or beginning of a larger one.

    A second equals sign after the result is a new equation of it: `1 + 1 = 2 + 2 = 4`.
    """
    before = match.string[: match.start()].rpartition("\n")[2].rstrip(" $")
    after = match.string[match.end() :].lstrip()
    larger = after.startswith(_GOES_ON) and not _TERM.match(after)
    chained = re.match(rf"(?:{_TERM.pattern})+\s*=", after)
    runs_on = _TERM.match(after) is not None and chained is None
    bullet = before.strip() in ("-", "*", "+")
    inside = before.endswith((*_GOES_ON, "(")) and not bullet
    return not (inside or larger or runs_on)


def _rounded(value: Fraction, claimed: Fraction, decimals: int) -> bool:
    """Whether a result is what rounding to its decimals gives."""
    return abs(value - claimed) * 2 <= Fraction(1, 10**decimals)


def _value(first: str, rest: str) -> Fraction | None:
    """Value of a sum of products, from left to right."""
    start = parse_number(first)
    if start is None:
        return None
    total, product = Fraction(0), start
    for match in _TERM.finditer(rest):
        number = parse_number(match[2])
        if number is None:
            return None
        if match[1] in "+-":
            total += product
            product = number if match[1] == "+" else -number
        elif match[1] in "*×·":
            product *= number
        elif number == 0:
            return None
        else:
            product /= number
    return total + product
