"""Terminal summary of settling depths."""

from collections.abc import Mapping
from typing import Any

from elicit.jobs._terminal import TerminalTable, interval


def tables(summary: Mapping[str, Any]) -> list[TerminalTable]:
    """Depth and ratio of both models and their paired difference, by text."""
    rows = [
        (
            name,
            what,
            *(interval(source[key][model]) for model in ("base", "post")),
            interval(source[diff], signed=True),
            str(source["n_problems"]),
        )
        for name, source in summary["sources"].items()
        for what, key, diff in (
            ("settling depth", "mean_depth", "depth_diff"),
            ("share deep", "dtr", "dtr_diff"),
        )
    ]
    head = ("text", "measured", "base", "post", "post minus base", "problems")
    return [TerminalTable(head, tuple(rows))]
