"""Numbers that a text states, also where a unit follows without a space: `24kg`."""

import re

from elicit.tasks import Number, numbers

_UNITS = re.compile(
    "[cdkm]?m|[km]?g|[cdm]?l|lbs?|oz|gal|mi|ft|yd|hrs?|h|mins?|ms|secs?|s|[kmg]?hz|kwh?|mph|kmh|kph|"
    "k?cal|kj|kpa|[kmgt]b|usd|eur|gbp",
    re.IGNORECASE,
)
"""Common units. Letters that are more often variables (`3x`, `5n`) are none."""
_WORD = re.compile(r"[^\W\d_]+")
_OPERATORS = tuple("=+-*/×·÷^")


def stated_numbers(text: str) -> list[Number]:
    """Numbers that stand for themselves or with a unit, in the order of a text.

    Args:
        text: As `tasks.plain` returns it.
    """
    return [number for number in numbers(text) if not number.glued or _has_unit(text, number.end)]


def _has_unit(text: str, end: int) -> bool:
    """Whether the letters after a number are a unit: `5m` alone, not the `5m` of `5m = 20`."""
    found = _WORD.match(text, end)
    if found is None or not _UNITS.fullmatch(found.group()):
        return False
    return len(found.group()) > 1 or not text[found.end() :].lstrip(" ").startswith(_OPERATORS)
