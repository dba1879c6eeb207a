"""Terminal tables of a features run."""

from collections.abc import Mapping
from typing import Any

from elicit.jobs._terminal import TerminalTable, interval


def tables(summary: Mapping[str, Any]) -> list[TerminalTable]:
    """Fidelity of the SAE on both models, then every candidate."""
    gates = tuple(
        (
            side,
            *(interval(gate[name]) for name in ("fvu", "l0")),
            f"{gate['dead_fraction']:.2f}",
            interval(gate["ce_recovered"]),
        )
        for side, gate in summary["gates"].items()
    )
    rows, styles = [], []
    for feature, one in summary["candidates"].items():
        recurrence = one.get("recurrence", {})
        rows.append(
            (
                feature,
                "yes" if one["kept"] else "no",
                interval(one.get("difference"), signed=True),
                one["injection_verdict"] or "not tested",
                interval(recurrence.get("own positions")),
                interval(recurrence.get("random positions")),
            )
        )
        styles.append("green" if one["kept"] else "dim")
    head = ("feature", "kept", "reasoning minus answer", "tokens", "recurs", "by chance")
    return [
        TerminalTable(("model", "FVU", "L0", "dead", "cross-entropy recovered"), gates),
        TerminalTable(head, tuple(rows), tuple(styles)),
    ]
