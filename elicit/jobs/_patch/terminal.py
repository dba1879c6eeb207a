"""Terminal summary of patching."""

from collections.abc import Mapping
from typing import Any

from elicit.jobs._terminal import TerminalTable, interval


def tables(summary: Mapping[str, Any]) -> list[TerminalTable]:
    """Peak of each sweep."""
    rows, styles, after = [], [], []
    for name, sweep in summary["sweeps"].items():
        for metric, kinds in sweep["peaks"].items():
            for peak in kinds.values():
                rows.append(
                    (
                        name,
                        metric,
                        peak["site"],
                        peak["pos"],
                        interval(peak["effect"], signed=True),
                        interval(peak["step"], signed=True),
                        "embedding" if peak["layer"] < 0 else str(peak["layer"]),
                    )
                )
                styles.append("")
        for metric, lacking in sweep["nothing_found"].items():
            if lacking:
                least = sweep["values"]["detectable"][sweep["axes"]["metric"].index(metric)]
                after.append(
                    f"{name}, {metric}: nothing found (no clear {lacking}); a step of {least:.2g} "
                    "would likely have been seen"
                )
    head = ("sweep", "metric", "site", "position", "effect", "step", "layer")
    return [TerminalTable(head, tuple(rows), tuple(styles), after=tuple(after))]
