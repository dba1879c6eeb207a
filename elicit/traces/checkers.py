"""Whether a written thought is valid: does each of its steps hold?"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, runtime_checkable

from elicit.tasks import Problem, parse_number, plain

_EQUATION = re.compile(
    r"(?<![\w.])(-?\d[\d,]*(?:\.\d+)?)((?:\s*[-+*/×·÷]\s*-?\d[\d,]*(?:\.\d+)?)+)\s*=\s*"
    r"[$<>]*(-?\d[\d,]*(?:\.\d+)?)"
)
_TERM = re.compile(r"\s*([-+*/×·÷])\s*(-?\d[\d,]*(?:\.\d+)?)")


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

    Products and quotients bind before sums. That each step holds does not mean that the answer
    rests on it: validity is not use.
    """

    modulus: int | None = None
    """Arithmetic modulo this number, as in the embedded pairs (10); None: ordinary."""

    def __call__(self, problem: Problem, text: str) -> bool | None:
        """See `Checker`."""
        found = list(_EQUATION.finditer(plain(text)))
        if not found:
            return None
        return all(self._holds(match[1], match[2], match[3]) for match in found)

    def _holds(self, first: str, rest: str, result: str) -> bool:
        value, claimed = _value(first, rest), parse_number(result)
        if value is None or claimed is None:
            return False
        if self.modulus is None:
            return value == claimed
        return (value - claimed) % self.modulus == 0


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
