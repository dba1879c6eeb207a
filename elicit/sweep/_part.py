"""How the comparison of a study is shown."""

from collections.abc import Sequence
from pathlib import Path

from elicit.page import Column, Part, Section, plot, result_table, table_of
from elicit.results import Result
from elicit.sweep.comparison import Comparison


def sections(results: Sequence[Result]) -> list[Section]:
    """Findings by run, then numbers by run."""
    found = []
    for comparison in results:
        assert isinstance(comparison, Comparison)
        rows = list(
            zip(
                comparison.run,
                comparison.command,
                comparison.verdict,
                comparison.finding,
                strict=True,
            )
        )
        items = [table_of("Findings", ("run", "command", "verdict", "finding"), rows, words=4)]
        found.append(Section("findings", "What each run found", "", tuple(items)))
        if comparison.number:
            caption = (
                "The numbers that most runs report, each with the interval of its own run. None is "
                "widened for the number of runs."
            )
            drawn = plot("plot-comparison", comparison.figure(), caption, columns=20)
            table = result_table(
                comparison,
                "All numbers by run",
                (Column(head="number", of="number"), *_columns(comparison)),
                over="number",
                folded="All numbers by run",
            )
            found.append(Section("numbers", "Numbers side by side", "", (drawn, table)))
    return found


def sentences(results: Sequence[Result]) -> list[str]:
    """How many runs, and what their intervals are worth together."""
    said = []
    for comparison in results:
        assert isinstance(comparison, Comparison)
        n = len(comparison.run)
        failed = f" {comparison.n_failed} failed." if comparison.n_failed else ""
        said.append(f"{n} {'run has' if n == 1 else 'runs have'} finished.{failed}")
        if comparison.n_intervals:
            said.append(
                f"They report {comparison.n_intervals} intervals, of which about "
                f"{comparison.n_missed:.3g} miss their true value by chance alone: what holds in "
                "one run of many needs to be seen again."
            )
    return said


def _columns(comparison: Comparison) -> list[Column]:
    return [
        Column(head=name, of="estimate", at={"run": i}) for i, name in enumerate(comparison.run)
    ]


PART = Part(
    name="sweep",
    kinds=(Comparison,),
    order=5,
    sections=sections,
    sentences=sentences,
    eyebrow=lambda results: "Many runs of one study",
    folder=Path(__file__).parent,
)
"""The part of a page that shows comparisons."""
