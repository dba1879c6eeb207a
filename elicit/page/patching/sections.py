"""Patching sections of the page: heat maps, controls and tables, with reading guides."""

from collections.abc import Sequence
from typing import Any

from elicit.page import Plot, Section, Table, plot
from elicit.page.patching import tables as t
from elicit.page.patching.names import metric_text, run_text
from elicit.page.patching.text import component_sentence, control_sentence
from elicit.patching import Factorial, PatchGrid
from elicit.patching.figures import grid_figure
from elicit.results import Result, marks

_PIXELS, _PANEL, _PLACE = 11, 260, 22
"""Widths: a cell with a legible label, the narrowest panel, one column of `plot`."""
_MANY = {"x": 18, "y": 24}
"""Number of axis labels above which they are set small."""


def patch_sections(results: Sequence[Result]) -> list[Section]:
    """One section per sweep, then one per factorial."""
    grids = [result for result in results if isinstance(result, PatchGrid)]
    factorials = [result for result in results if isinstance(result, Factorial)]
    return [
        *(_sweep(grid, n) for n, grid in enumerate(grids)),
        *(_factorial(factorial, n) for n, factorial in enumerate(factorials)),
    ]


def _sweep(grid: PatchGrid, n: int) -> Section:
    said = (_done(grid), control_sentence(grid), component_sentence(grid))
    items: list[Plot | Table] = []
    for m, metric in enumerate(grid.metric):
        items.append(
            plot(
                f"plot-patch-{n}-{m}" if m else f"plot-patch-{n}",
                _fitted(grid_figure(grid, metric), grid),
                _caption(grid, m),
                columns=_columns(grid, m),
                folded=f"The same for {metric_text(metric)}" if m else "",
            )
        )
    tables = [t.score_table(grid), t.peak_table(grid), t.top_table(grid, 0), t.width_table(grid)]
    items += [table for table in tables if table is not None]
    for m in range(len(grid.metric)):
        items += t.cell_tables(grid, m)
    return Section(f"patch-{n}", _title(grid), " ".join(filter(None, said)), tuple(items))


def _title(grid: PatchGrid) -> str:
    if grid.question == "across":
        return f"Patching {grid.donor} into {grid.host}"
    (model, _, host), (_, _, donor) = grid.host.partition(", "), grid.donor.partition(", ")
    return f"Patching {model}: {donor} into {host}"


def _done(grid: PatchGrid) -> str:
    """Description of the sweep in one sentence."""
    n_cells = len(grid.site) * len(grid.pos)
    return (
        f"Activations of {run_text(grid.donor)} replace those of {run_text(grid.host)}, one at a "
        f"time, in {n_cells} cells and for each of {grid.n_problems} problems."
    )


def _fitted(figure: Any, grid: PatchGrid) -> Any:
    """A heat map with its colour scale on top, visible at every figure width."""
    room = 52
    figure.update_layout(
        title={"y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 12}},
        height=figure.layout.height + room,
        margin={"t": figure.layout.margin.t + room, "r": 24},
    )
    scale = figure.layout.coloraxis.colorbar
    figure.update_layout(
        coloraxis_colorbar={
            **marks.BAR_ABOVE,
            "y": 1,
            "ypad": 40,
            "title": {"text": scale.title.text, "side": "right", "font": {"size": 12}},
        }
    )
    if max(len(grid.pos), *(int(head) for head in grid.head.tolist())) > _MANY["x"]:
        figure.update_xaxes(tickfont={"size": 9})
    if len(set(grid.layer.tolist())) > _MANY["y"]:
        figure.update_yaxes(tickfont={"size": 9})
    return figure


def _caption(grid: PatchGrid, row: int) -> str:
    """Caption of a heat map."""
    ran = [name for name in t.CONTROLS if getattr(grid, name).value[row].isfinite().any()]
    controls = {
        "other_prompt": "an activation of another prompt",
        "noise": "noise with the norm of the patched difference",
    }
    return (
        "Each cell is one experiment: the activation at that layer (row) and position or head "
        f"(column) of {run_text(grid.host)} is replaced by that of {run_text(grid.donor)}, and the "
        "later layers run unchanged. Colour: change of "
        f"{metric_text(grid.metric[row])}, blue up, orange down. A number or a dot: the "
        f"simultaneous {100 * grid.level:g} % interval excludes 0. The residual stream "
        "accumulates, so look for the layer where a column starts to be coloured; a component "
        "shows only its own contribution. "
        + (
            "Right, on the same scale, the controls: "
            f"{' and '.join(controls[name] for name in ran)}."
            if ran
            else "No control was run."
        )
    )


def _columns(grid: PatchGrid, row: int) -> int:
    """Width of all panels side by side, in columns of `plot`."""
    controls = sum(bool(getattr(grid, name).value[row].isfinite().any()) for name in t.CONTROLS)
    heads = len({int(head) for head in grid.head.tolist() if head >= 0})
    across = max(len(grid.pos) if (grid.head < 0).any() else 0, heads)
    width = (1 + controls) * max(_PANEL, _PIXELS * across + 60)
    return -(-(width - 80) // _PLACE)


def _factorial(factorial: Factorial, n: int) -> Section:
    caption = (
        "At each boundary, the embedding and the layers below are upstream (they write), the "
        "layers above are downstream (they read), the final norm and unembedding the head. Each "
        "line is the effect of taking that factor from post instead of base, averaged over the "
        "settings of the others; upstream × downstream is their interaction. "
        f"Bars: simultaneous {100 * factorial.level:g} % intervals; filled marks exclude 0. Where "
        "post writes a signal that base can read, the upstream line rises to the gap and the "
        "interaction stays at 0."
    )
    return Section(
        f"factorial-{n}",
        "Which model writes the signal, which reads it",
        "At every boundary between layers, the residual stream of one model continues in the "
        "other, with the unembedding of either: eight combinations.",
        (
            plot(
                f"plot-factorial-{n}",
                factorial.figure(),
                caption,
                columns=max(16, len(factorial.boundary)),
            ),
            t.factorial_table(factorial),
            t.cube_table(factorial),
        ),
    )
