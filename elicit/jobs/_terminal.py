"""Terminal tables of a summary: rows of short text, made by each job."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class TerminalTable:
    """Rows under headings; a rich style for each row, or none."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    styles: tuple[str, ...] = ()
    title: str = ""
    after: tuple[str, ...] = ()
    """Lines below the table."""


def interval(found: Mapping[str, float | None] | None, *, signed: bool = False) -> str:
    """A value with its interval: `+0.97 [+0.94, +1.00]`.

    `found`: `value`, `low` and `high`; None where it was not measured.
    """
    if found is None or found.get("value") is None:
        return "not run"
    sign = "+" if signed else ""

    def number(end: str) -> str:
        value = found.get(end)
        if value is None:
            return "?"
        text = f"{value:{sign}.2f}"
        # An effect of exactly 0 must not look like one that rounds to it.
        return "0" if value == 0 else text

    if found.get("low") == found.get("high") == found["value"]:
        return number("value")
    return f"{number('value')} [{number('low')}, {number('high')}]"
