"""Page part for results by group of problems."""

from collections.abc import Sequence

from elicit.page import Cell, Part, Section, Table, estimate_cell, plot, register, table_of
from elicit.results import Result
from elicit.stats import GroupMeans


def _sections(results: Sequence[Result]) -> list[Section]:
    return [_section(found, n) for n, found in enumerate(results) if isinstance(found, GroupMeans)]


def _section(found: GroupMeans, n: int) -> Section:
    below = (
        "; below, differences on the same problems (hollow: the interval includes 0)"
        if any(" minus " in measure for measure in found.measure)
        else ""
    )
    caption = (
        f"Mean of each group, with {100 * found.level:g} % intervals over its problems, "
        f"simultaneous over groups and measures (Bonferroni){below}. Groups were not drawn at "
        "random: they may differ in anything that goes with their name."
    )
    columns = max(20, 3 * len(found.group) * len(found.measure))
    return Section(
        f"by-group-{n}",
        f"By {found.by}",
        f"{found.of[:1].upper()}{found.of[1:]}, {len(found.group)} groups.",
        (plot(f"plot-by-group-{n}", found.figure(), caption, columns=columns), _table(found)),
    )


def _table(found: GroupMeans) -> Table:
    rows: list[list[str | Cell]] = []
    for g, name in enumerate(found.group):
        for m, measure in enumerate(found.measure):
            rows.append(
                [
                    name,
                    measure,
                    str(int(found.n[g])),
                    estimate_cell(found.mean[m, g], effect=" minus " in measure),
                    estimate_cell(found.apart[m, g], effect=True),
                ]
            )
    head = (found.by, "measure", "problems", found.unit, "minus the other problems")
    told = "Bold: the interval excludes 0. The last column compares a group with all others."
    return table_of(told, head, rows, 2, "Numbers by group")


register(Part(name="groups", kinds=(GroupMeans,), order=60, sections=_sections))
