"""Terminal summary of the ladder."""

from collections.abc import Mapping
from typing import Any

from elicit.jobs._terminal import TerminalTable, interval


def tables(summary: Mapping[str, Any]) -> list[TerminalTable]:
    """Every rung with its strongest control."""
    rungs = summary["rungs"]
    rows = tuple(
        (
            name,
            rung["claim"],
            rung["status"],
            interval({end: rung[end] for end in ("value", "low", "high")}),
            interval(rung["control"]),
            rung["control_name"],
            rung["place"],
        )
        for name, rung in rungs.items()
    )
    styles = tuple("green" if rung["status"] == "passed" else "dim" for rung in rungs.values())
    after = tuple(
        f"{name} {rung['reason']}"
        for name, rung in rungs.items()
        if rung["status"] != "passed" and rung["reason"]
    )
    head = ("rung", "claim", "verdict", "value", "control", "which", "place")
    return [TerminalTable(head, rows, styles, after=after)]
