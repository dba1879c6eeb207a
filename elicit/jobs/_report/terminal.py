"""Terminal summary of a report."""

from collections.abc import Mapping
from itertools import groupby
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
    for alike, layers in groupby(summary["layers"], key=lambda layer: not layer["changed"]):
        run = list(layers)
        if alike and len(run) > 1:  # nothing was run: one row says so for all of them
            first, last = run[0]["layer"], run[-1]["layer"]
            rows.append((f"L{first}–L{last}", "unchanged", "every task", "0", "0"))
            styles.append(_STYLES[("unchanged",)])
            continue
        for layer in run:
            mine = _rows(layer)
            rows += mine
            styles += [_STYLES.get(tuple(layer["verdict"]), "")] * len(mine)
    head = ("layer", "verdict", "task", "revert", "graft")
    return [TerminalTable(head, tuple(rows), tuple(styles))]


def _rows(layer: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row per task; an unchanged layer is not run, so every effect is 0 without an interval."""
    rows: list[tuple[str, ...]] = []
    words = " and ".join(layer["verdict"]) + (f", {layer['reason']}" if layer["reason"] else "")
    first = (f"L{layer['layer']}", words)
    effects = layer["effects"] if layer["changed"] else {"every task": None}
    for task, both in effects.items():
        moved = (
            ("0", "0")
            if both is None
            else [interval(both.get(way), signed=True) for way in ("revert", "graft")]
        )
        rows.append((*first, str(task), *moved))
        first = ("", "")
    return rows
