"""Terminal summary of steering."""

from collections.abc import Mapping
from typing import Any

from elicit.jobs._terminal import TerminalTable, interval

_NUMBERS = ("rate", "share")
_STYLES = {"steered": "green", "control": "dim"}


def tables(summary: Mapping[str, Any]) -> list[TerminalTable]:
    """Every arm with the unsteered references."""
    names = list(summary["gaps"])
    rows, styles = [], []
    for group in ("arms", "references"):
        for name, arm in summary[group].items():
            part = arm.get("kind", "not steered")
            numbers = (arm[what][metric] for metric in names for what in _NUMBERS)
            cells = ("no clear gap" if ends is None else interval(ends) for ends in numbers)
            dose = f"{arm['strength']:g}" if "strength" in arm else "–"
            rows.append((name, part, dose, *cells))
            styles.append(_STYLES.get(part, ""))
    head = ("arm", "part", "strength", *(f"{what}: {name}" for name in names for what in _NUMBERS))
    return [TerminalTable(head, tuple(rows), tuple(styles))]
