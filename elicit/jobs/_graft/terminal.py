"""Terminal summary of a graft."""

from collections.abc import Mapping
from typing import Any

from elicit.jobs._terminal import TerminalTable, interval


def tables(summary: Mapping[str, Any]) -> list[TerminalTable]:
    """Scores of both models and of the host with each part moved, by task."""
    host, donor = ("post", "base") if summary["direction"] == "revert" else ("base", "post")
    found = []
    for task in summary["tasks"]:
        rows = [(model, interval(task[model]), "") for model in ("base", "post")]
        for part in summary["parts"]:
            effects = part["effects"][task["name"]]
            unchanged = "" if part["changed"] else " (unchanged)"
            rows.append(
                (
                    f"{host} with {donor}'s {part['part']}{unchanged}",
                    interval(effects["score"]),
                    interval(effects["effect"], signed=True),
                )
            )
        title = f"{task['name']} ({task['n']} problems, {task['unit']})"
        found.append(TerminalTable(("model", "score", f"minus {host}"), tuple(rows), title=title))
    return found
