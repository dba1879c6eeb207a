"""Sections of the page about patching: heat maps, controls, tables, and how each is read."""

from collections.abc import Sequence

from elicit.patching import Factorial, PatchGrid
from elicit.patching.figures import factorial_figure, grid_figure
from elicit.report import patch_tables as t
from elicit.report.figures import Plot, plot
from elicit.report.patch_text import (
    component_sentence,
    control_sentence,
    finding,
    metric_text,
    split_sentence,
)
from elicit.report.sections import Section
from elicit.report.tables import Table
from elicit.results import Result

_PIXELS, _PANEL, _PLACE = 9, 260, 22
"""Width of a cell that can be told from its neighbour; least width of a panel; of a place in
`plot`."""


def patch_sections(results: Sequence[Result]) -> list[Section]:
    """A section for every sweep, then one for every factorial.

    Args:
        results: Results of any kind.
    """
    grids = [result for result in results if isinstance(result, PatchGrid)]
    factorials = [result for result in results if isinstance(result, Factorial)]
    return [
        *(_sweep(grid, n) for n, grid in enumerate(grids)),
        *(_factorial(factorial, n) for n, factorial in enumerate(factorials)),
    ]


def _sweep(grid: PatchGrid, n: int) -> Section:
    told = (finding(grid), control_sentence(grid), component_sentence(grid))
    items: list[Plot | Table] = []
    for m, metric in enumerate(grid.metric):
        items.append(
            plot(
                f"plot-patch-{n}-{m}" if m else f"plot-patch-{n}",
                grid_figure(grid, metric),
                _caption(grid, m),
                columns=_columns(grid, m),
                folded=f"The same for {metric_text(metric)}" if m else "",
            )
        )
    tables = [t.score_table(grid), t.peak_table(grid), t.top_table(grid, 0), t.width_table(grid)]
    items += [table for table in tables if table is not None]
    for m in range(len(grid.metric)):
        items += t.cell_tables(grid, m)
    return Section(f"patch-{n}", _title(grid), " ".join(filter(None, told)), tuple(items))


def _title(grid: PatchGrid) -> str:
    if grid.question == "across":
        return f"Patching {grid.donor} into {grid.host}"
    (model, _, host), (_, _, donor) = grid.host.partition(", "), grid.donor.partition(", ")
    return f"Patching {model}: {donor} into {host}"


def _caption(grid: PatchGrid, row: int) -> str:
    """How a heat map is read."""
    controls = any(getattr(grid, name)[row].isfinite().any() for name in t.CONTROLS)
    return (
        "Each cell is one experiment: the activation at that layer (row) and position or head "
        f"(column) of {grid.host} is replaced by that of {grid.donor}, and the layers after it run "
        f"on as they are. Colour: how far {metric_text(grid.metric[row])} moves, blue up, orange "
        f"down. A dot: the joint {100 * grid.level:g} % interval holds 0. What has come into the "
        "residual stream stays there, so read where a column begins to be coloured; a component "
        "shows what it alone adds. "
        + (
            "The panels beside it are the controls on the same scale: an activation of another "
            "prompt, and noise as long as the difference that was patched."
            if controls
            else "No control was run."
        )
    )


def _columns(grid: PatchGrid, row: int) -> int:
    """Room for all panels side by side, in places of `plot`."""
    controls = sum(bool(getattr(grid, name)[row].isfinite().any()) for name in t.CONTROLS)
    heads = len({int(head) for head in grid.head.tolist() if head >= 0})
    across = max(len(grid.pos) if (grid.head < 0).any() else 0, heads)
    width = (1 + controls) * max(_PANEL, _PIXELS * across + 60)
    return -(-(width - 80) // _PLACE)


def _factorial(factorial: Factorial, n: int) -> Section:
    caption = (
        "At a boundary, the embedding and the layers below it are upstream and write; the layers "
        "above it are downstream and read; the unembedding (with the final norm) is the head. Each "
        "line is the effect of having that one from post and not from base, averaged over the "
        "settings of the others; upstream × downstream is what the first two do only together. "
        f"Bars: joint {100 * factorial.level:g} % intervals; filled marks are clear of 0. Where "
        "post wrote a signal that base can read, the line of upstream rises to the gap and the "
        "interaction stays at 0."
    )
    return Section(
        f"factorial-{n}",
        "Who wrote it, who reads it",
        split_sentence(factorial),
        (
            plot(
                f"plot-factorial-{n}",
                factorial_figure(factorial),
                caption,
                columns=max(16, len(factorial.boundary)),
            ),
            t.factorial_table(factorial),
            t.cube_table(factorial),
        ),
    )
