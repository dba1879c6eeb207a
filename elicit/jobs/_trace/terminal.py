"""Terminal summary of written thoughts."""

from collections.abc import Mapping
from typing import Any

from elicit.jobs._terminal import TerminalTable, interval


def tables(summary: Mapping[str, Any]) -> list[TerminalTable]:
    """The six primaries, then what stands beside them and is not tested."""
    rows, styles = [], []
    for name, found in summary["primaries"].items():
        p = found["p"]
        rows.append(
            (
                name,
                *(interval(found[model]) for model in ("base", "post")),
                interval(found["diff"], signed=True),
                "" if p is None else f"{p:.3f}" if p >= 0.001 else "< 0.001",
                found["note"] or "",
            )
        )
        styles.append("" if p is None or p >= 0.05 else "bold")
    head = ("primary", "base", "post", "post minus base", "p (Holm)", "note")
    title = f"verdict: {summary['verdict']}"
    after = [summary["reason"]]
    rest = summary["without_truncated"]
    if rest is not None:
        after.append(
            f"Without {rest['left_out']} problems whose texts were cut short: {rest['verdict']} "
            f"({rest['reason']})."
        )
    beside = tuple(
        (name, *(interval(found[model]) for model in ("base", "post")))
        for name, found in summary["covariates"].items()
        if found["base"]["value"] is not None or found["post"]["value"] is not None
    )
    return [
        TerminalTable(head, tuple(rows), tuple(styles), title=title, after=tuple(after)),
        TerminalTable(("beside, not tested", "base", "post"), beside),
    ]
