"""Sections of an audit's page: key figures, what was registered, all runs."""

import math
from collections.abc import Sequence

from elicit.page import Cell, Section, Table, table_of
from elicit.results import Estimate, Result, number
from elicit.verdicts import Audit

_FEW = 8
"""Key figures of a run that are shown unfolded, at most."""


def audit_sections(results: Sequence[Result]) -> list[Section]:
    """The sections of every audit.

    Args:
        results: Of the page.
    """
    found = [result for result in results if isinstance(result, Audit)]
    return [section for one in found for section in _sections(one) if section is not None]


def _sections(found: Audit) -> list[Section | None]:
    return [_figures(found), _registered(found), _runs(found)]


def _registered(found: Audit) -> Section:
    if not found.protocol:
        return Section(
            "registered",
            "What was registered beforehand",
            "Nothing: no protocol was given, so every number on this page is exploratory. "
            "elicit audit --protocol FILE freezes hypotheses, primaries and margins before "
            "anything is measured.",
            (),
        )
    rows = [
        [says, primary, expected, Cell(outcome, outcome in ("supported", "refuted"))]
        for says, primary, expected, outcome in zip(
            found.hypothesis, found.primary, found.expected, found.outcome, strict=True
        )
    ]
    n = len(rows)
    chance = n * (1 - found.level)
    told = (
        "Supported: the whole interval lies where the hypothesis says; refuted: none of it does. "
        f"Intervals are those of the runs ({100 * found.level:g} %), not widened for "
        f"{n} hypothes{'is' if n == 1 else 'es'}: by chance alone about {chance:.2g} would miss."
    )
    lead = (
        "Hypotheses, primaries and margins were frozen before any number was read. SHA-256 of "
        f"their canonical form: {found.protocol}. All other numbers are exploratory."
    )
    head = ("hypothesis", "primary", "must lie", "outcome")
    return Section(
        "registered",
        "What was registered beforehand",
        lead,
        (table_of(told, head, rows, 4),),
    )


def _figures(found: Audit) -> Section | None:
    if not found.number:
        return None
    kept = [i for i in range(len(found.number)) if _is_key(found, i)]
    key = _table(
        found,
        kept,
        "Bold: the interval excludes 0.",
        "",
    )
    rest = _table(
        found,
        list(range(len(found.number))),
        "Every figure that a protocol may name, as each run’s summary.json has it.",
        "All figures",
    )
    return Section(
        "figures",
        "Key figures of all runs",
        "Each is the number of its own run, to the last digit.",
        (key, rest),
    )


def _is_key(found: Audit, i: int) -> bool:
    """Whether a figure is shown at once: it is registered, a gap, or of a layer with a verdict."""
    name = found.number[i]
    run, _, rest = name.partition(".")
    if bool(found.registered[i]):
        return True
    if run == "report":
        layers = {f"L{n}" for n in (*found.corrupted_layers, *found.skill_layers)}
        return rest.endswith(".gap") or bool(layers & set(rest.split(".")))
    if run == "trace":
        return rest in ("follows", "pass@1")
    return run != "exists" or rest in ("E3", "E4")


def _table(found: Audit, kept: Sequence[int], caption: str, folded: str) -> Table:
    """Key figures; the folded table has their names and units too."""
    whole, told = bool(folded), bool(found.protocol)
    rows = []
    for i in kept:
        if math.isnan(found.estimate.value[i].item()):
            continue
        words = [found.number_says[i], *([found.number[i]] if whole else [])]
        words += ["registered" if bool(found.registered[i]) else "exploratory"] if told else []
        words += [found.number_unit[i], found.beside_name[i] or "–"]
        beside = _cell(found.beside[i]).text if found.beside_name[i] else "–"
        rows.append([*words, _cell(found.estimate[i]), beside])
    head = [
        "figure",
        *(["name"] if whole else []),
        *(["status"] if told else []),
        *("unit", "strongest control, or the other model", "value", "beside it"),
    ]
    return table_of(caption, head, rows, len(head) - 2, folded)


def _cell(estimate: Estimate) -> Cell:
    value, low, high = estimate.ends
    if math.isnan(value):
        return Cell("–")
    told = number(value, digits=2)
    if math.isnan(low) or math.isnan(high):
        return Cell(told)
    return Cell(f"{told} [{number(low, digits=2)}, {number(high, digits=2)}]", bool(estimate.clear))


def _runs(found: Audit) -> Section:
    rows = []
    for name, asks, status, note in zip(
        found.run, found.run_asks, found.run_status, found.run_note, strict=True
    ):
        href = f"{name}/report.html" if status == "finished" else ""
        rows.append([Cell(name, href=href), asks, status, note])
    items: list[Table] = [
        table_of(
            "Every run is the command alone: its folder has its own page, summary.json and "
            "run.yaml, and elicit COMMAND --config FOLDER/run.yaml repeats it.",
            ("run", "asks", "status", "what it found, or why it did not"),
            rows,
            4,
        )
    ]
    if found.left_out:
        items.append(
            table_of(
                "Left out to stay within the budget.",
                ("left out",),
                [[t] for t in found.left_out],
                1,
            )
        )
    return Section("runs", "All runs", "", tuple(items))
