"""Terminal summary of mechanisms."""

from collections.abc import Mapping
from typing import Any

from elicit.jobs._terminal import TerminalTable, interval


def tables(summary: Mapping[str, Any]) -> list[TerminalTable]:
    """Every mechanism with its share of the gap, from what was told least."""
    rows, styles = [], []
    for name, found in summary["arms"].items():
        bits = found["bits"]
        rows.append(
            (
                name,
                found["sees"],
                "" if bits is None else f"{bits:,.0f}",
                interval(found["share"]),
                found["setting"][:60],
            )
        )
        clear = (found["share"]["low"] or 0) > 0.5 and not found["control"]
        styles.append("dim" if found["control"] else "bold" if clear else "")
    head = ("mechanism", "sees", "bits", "share of the gap", "setting")
    known = tuple(
        (name, one["truth"], one["verdict"]) for name, one in summary["known_pairs"].items()
    )
    return [
        TerminalTable(
            head,
            tuple(rows),
            tuple(styles),
            title=f"verdict: {summary['words']}",
            after=(summary["reason"],),
        ),
        TerminalTable(("pair of known truth", "truth", "verdict by the same mechanisms"), known),
    ]
