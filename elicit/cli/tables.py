"""A run's summary as a person reads it on a terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from elicit.cli.console import stdout, visible

_STEP = {"value": "", "low": "_low", "high": "_high"}
_STYLES = {
    ("corrupted",): "red",
    ("skill",): "green",
    ("corrupted", "skill"): "magenta",
    ("unchanged",): "dim",
}


def show_report(summary: Mapping[str, Any], page: Path) -> None:
    """The sentence, a table of layers, and where the page is.

    Args:
        summary: Content of the run's summary.json.
        page: The report.
    """
    console = _begin(summary)
    table = _columns("layer", "verdict", "task", "revert", "graft")
    for layer in summary["layers"]:
        verdict = tuple(layer["verdict"])
        first = (f"L{layer['layer']}", " and ".join(verdict))
        if not layer["changed"]:
            # Nothing differs there, so nothing was run and every effect is 0 without an interval.
            table.add_row(*first, "every task", "0", "0", style=_STYLES.get(verdict, ""))
            continue
        for task, effects in layer["effects"].items():
            table.add_row(
                *first,
                visible(str(task)),
                *(interval(effects.get(way), signed=True) for way in ("revert", "graft")),
                style=_STYLES.get(verdict, ""),
            )
            first = ("", "")
    console.print(table)
    console.print()
    _end(console, summary, page)


def show_graft(summary: Mapping[str, Any], folder: Path) -> None:
    """Both models' scores, and the host's with each part moved.

    Args:
        summary: Content of the run's summary.json.
        folder: The run directory.
    """
    console = stdout()
    host, donor = ("post", "base") if summary["direction"] == "revert" else ("base", "post")
    for task in summary["tasks"]:
        console.print(
            f"{visible(task['name'])} ({task['n']} problems, {task['unit']})",
            markup=False,
            soft_wrap=True,
        )
        table = _columns("model", "score", f"minus {host}")
        for model in ("base", "post"):
            table.add_row(model, interval(task[model]), "")
        for part in summary["parts"]:
            effects = part["effects"][task["name"]]
            unchanged = "" if part["changed"] else " (unchanged)"
            table.add_row(
                f"{host} with {donor}'s {part['part']}{unchanged}",
                interval(effects["score"]),
                interval(effects["effect"], signed=True),
            )
        console.print(table)
        console.print()
    _say_notes(summary.get("notes", ()))
    console.print(f"Run: {folder}", markup=False, soft_wrap=True)


def show_patch(summary: Mapping[str, Any], page: Path) -> None:
    """The sentence, where each sweep's effects come in, and where the page is.

    Args:
        summary: Content of the run's summary.json.
        page: The report.
    """
    console = _begin(summary)
    table = _columns("sweep", "metric", "site", "position", "effect", "comes in here", "layer")
    for name, sweep in summary["sweeps"].items():
        for metric, kinds in sweep["peaks"].items():
            for peak in kinds.values():
                table.add_row(
                    name,
                    metric,
                    peak["site"],
                    visible(peak["pos"]),
                    interval(peak["effect"], signed=True),
                    interval(peak["step"], signed=True),
                    "embedding" if peak["layer"] < 0 else str(peak["layer"]),
                    style="" if peak["clear"] else "dim",
                )
    if table.rows:
        console.print(table)
        console.print()
    _end(console, summary, page)


def show_revise(summary: Mapping[str, Any], page: Path) -> None:
    """The sentence, both models and their paired difference on every text, where the page is.

    Args:
        summary: Content of the run's summary.json.
        page: The report.
    """
    console = _begin(summary)
    table = _columns("text", "measured", "base", "post", "post minus base", "problems")
    for name, source in summary["sources"].items():
        for what, key, diff in (
            ("settling depth", "mean_depth", "depth_diff"),
            ("share deep", "dtr", "dtr_diff"),
        ):
            table.add_row(
                visible(name),
                what,
                *(interval(source[key][model]) for model in ("base", "post")),
                interval(source[diff], signed=True),
                str(source["n_problems"]),
            )
    console.print(table)
    console.print()
    _end(console, summary, page)


def show_exists(summary: Mapping[str, Any], page: Path) -> None:
    """The sentence, every rung beside its strongest control, and where the page is.

    Args:
        summary: Content of the run's summary.json.
        page: The report.
    """
    console = _begin(summary)
    table = _columns("rung", "claim", "verdict", "value", "control", "which", "place")
    for name, rung in summary["rungs"].items():
        value = {end: rung[end] for end in _STEP}
        control = {end: rung[f"control{key}"] for end, key in _STEP.items()}
        table.add_row(
            name,
            rung["claim"],
            rung["status"],
            interval(value),
            interval(control),
            visible(rung["control_name"]),
            rung["place"],
            style="green" if rung["status"] == "passed" else "dim",
        )
    console.print(table)
    console.print()
    for name, rung in summary["rungs"].items():
        if rung["status"] != "passed" and rung["reason"]:
            console.print(f"{name} {visible(rung['reason'])}", markup=False, soft_wrap=True)
    console.print()
    _end(console, summary, page)


def show_features(summary: Mapping[str, Any], page: Path) -> None:
    """The sentence, both gates, every candidate, how to go on, and where the page is.

    Args:
        summary: Content of the run's summary.json.
        page: The report.
    """
    console = _begin(summary)
    gates = _columns("read on", "FVU", "L0", "dead", "cross-entropy recovered")
    for side, gate in summary["gates"].items():
        gates.add_row(
            side,
            *(interval(gate[name]) for name in ("fvu", "l0")),
            f"{gate['dead_fraction']:.2f}",
            interval(gate["ce_recovered"]),
        )
    console.print(gates)
    console.print()
    table = _columns("feature", "stays", "trace minus answer", "tokens", "again", "by chance")
    for feature, one in summary["candidates"].items():
        again = one.get("again", {})
        table.add_row(
            feature,
            "yes" if one["kept"] else "no",
            interval(one.get("difference"), signed=True),
            one["tokens_verdict"] or "not tried",
            interval(again.get("own places")),
            interval(again.get("random places")),
            style="green" if one["kept"] else "dim",
        )
    if table.rows:
        console.print(table)
        console.print()
    _say_notes(summary.get("notes", ()))
    if summary["next"]:
        console.print(f"Next: {visible(summary['next'])}", markup=False, soft_wrap=True)
    console.print(f"Report: {page}", markup=False, soft_wrap=True)


def show_steer(summary: Mapping[str, Any], page: Path) -> None:
    """The sentence, every arm beside what is not steered, and where the page is.

    Args:
        summary: Content of the run's summary.json.
        page: The report.
    """
    console = _begin(summary)
    names = list(summary["gaps"])
    table = _columns("arm", "part", *(f"{w}: {visible(n)}" for n in names for w in _TOLD))
    styles = {"steered": "green", "control": "dim"}
    for group in ("arms", "references"):
        for name, arm in summary[group].items():
            part = arm.get("kind", "not steered")
            told = (arm[what][metric] for metric in names for what in _TOLD)
            cells = ("no clear gap" if ends is None else interval(ends) for ends in told)
            table.add_row(visible(name), part, *cells, style=styles.get(part, ""))
    console.print(table)
    console.print()
    _end(console, summary, page)


_TOLD = ("rate", "share")


def interval(found: Mapping[str, float | None] | None, *, signed: bool = False) -> str:
    """A value with its interval: `+0.97 [+0.94, +1.00]`.

    Args:
        found: `value`, `low` and `high`; None where it was not measured.
        signed: Whether a plus is written: for differences.
    """
    if found is None or found.get("value") is None:
        return "not run"
    sign = "+" if signed else ""

    def number(end: str) -> str:
        value = found.get(end)
        if value is None:
            return "?"
        text = f"{value:{sign}.2f}"
        # An effect of exactly 0 and one that rounds to it are not the same finding.
        return "0" if value == 0 else text

    if found.get("low") == found.get("high") == found["value"]:
        return number("value")
    return f"{number('value')} [{number('low')}, {number('high')}]"


def _begin(summary: Mapping[str, Any]) -> Console:
    """The console, with the finding in words said on it."""
    console = stdout()
    console.print(visible(str(summary["sentence"])), markup=False, soft_wrap=True)
    console.print()
    return console


def _end(console: Console, summary: Mapping[str, Any], page: Path) -> None:
    """Remarks, and where the page is."""
    _say_notes(summary.get("notes", ()))
    console.print(f"Report: {page}", markup=False, soft_wrap=True)


def _columns(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, no_wrap=True)
    return table


def _say_notes(notes: Sequence[str]) -> None:
    console = stdout()
    for note in notes:
        console.print(f"Note: {visible(str(note))}", markup=False, soft_wrap=True)
    if notes:
        console.print()
