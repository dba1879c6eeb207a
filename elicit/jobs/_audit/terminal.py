"""Terminal summary of an audit."""

from collections.abc import Mapping
from typing import Any

from elicit.jobs._terminal import TerminalTable, interval


def tables(summary: Mapping[str, Any]) -> list[TerminalTable]:
    """Three answers, each with its control, then the hypotheses that were registered."""
    rows, styles, after = [], [], []
    for name, one in summary["answers"].items():
        rows.append(
            (
                name,
                one["verdict"],
                one["strength"],
                interval(one["effect"]),
                interval(one["control"]) if one["control_name"] else "–",
                one["control_name"] or "",
            )
        )
        styles.append("bold" if one["strength"] in ("strong", "moderate") else "dim")
        after.append(one["says"])
    told = [
        f"{name} ({run['status']}): {run['note']}"
        for name, run in summary["runs"].items()
        if run["status"] != "finished"
    ]
    head = ("question", "answer", "evidence", "effect", "control", "which")
    hypotheses = tuple(
        (name, one["primary"], one["expected"], one["outcome"])
        for name, one in summary["hypotheses"].items()
    )
    return [
        TerminalTable(head, tuple(rows), tuple(styles), after=(*after, *told)),
        TerminalTable(("registered hypothesis", "primary", "expected", "outcome"), hypotheses),
    ]
