"""Terminal summary of a report."""

from collections.abc import Mapping
from typing import Any

from elicit.jobs._terminal import TerminalTable, interval

_STYLES = {
    ("corrupted",): "red",
    ("skill",): "green",
    ("corrupted", "skill"): "magenta",
    ("unchanged",): "dim",
}


def tables(summary: Mapping[str, Any]) -> list[TerminalTable]:
    """Every layer with its verdict and its effects on each task."""
    rows, styles = [], []
    for layer in summary["layers"]:
        verdict = tuple(layer["verdict"])
        words = " and ".join(verdict) + (f", {layer['reason']}" if layer["reason"] else "")
        first = (f"L{layer['layer']}", words)
        # Unchanged layers are not run: every effect is 0 without an interval.
        effects = layer["effects"] if layer["changed"] else {"every task": None}
        for task, both in effects.items():
            moved = (
                ("0", "0")
                if both is None
                else [interval(both.get(way), signed=True) for way in ("revert", "graft")]
            )
            rows.append((*first, str(task), *moved))
            styles.append(_STYLES.get(verdict, ""))
            first = ("", "")
    head = ("layer", "verdict", "task", "revert", "graft")
    return [TerminalTable(head, tuple(rows), tuple(styles))]
