"""Heat maps of a sweep: layers × positions or heads, with controls."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from elicit.patching.grid import PatchGrid
from elicit.results.drawing import (
    DIVERGING,
    figure,
    heading,
    interval,
    label,
    number,
    plain_numbers,
    style,
)

_CONTROLS = {"other_prompt": "control: another prompt", "noise": "control: noise of equal norm"}
_ROOM = 12
"""Maximum number of cells per row that show their value as text."""


@dataclass(frozen=True, kw_only=True)
class _Panel:
    """Layout of one heat map."""

    title: str
    """Title, escaped for plotly."""
    x: tuple[str, ...]
    """Labels of the positions or heads, escaped for plotly."""
    x_title: str
    layers: tuple[int, ...]
    """Layer of each row."""
    cells: tuple[tuple[tuple[int, int] | None, ...], ...]
    """(site, position) of each row and column; None: empty cell."""


@figure.register
def grid_figure(grid: PatchGrid, metric: str | None = None) -> Any:
    """Effect of patching each cell, width 1, with controls; a dot: the interval includes 0.

    One row of panels per kind of site: layers × positions, or layers × heads at the position with
    the largest effect. All panels share one scale, centred at 0.

    Args:
        grid: Effects of every cell.
        metric: Name of a metric; None takes the first.

    Raises:
        PatchError: The metric was not read.
    """
    from plotly.subplots import make_subplots

    row_of = grid.metric_row(metric)
    panels = _panels(grid, row_of)
    controls = [n for n in _CONTROLS if getattr(grid, n).value[row_of].isfinite().any()]
    names = ["effect", *controls]
    heights = [min(max(22 * len(panel.layers) + 20, 120), 640) for panel in panels]
    # Room under each row for its labels, rotated where there are many, and the next heading.
    longest = max((len(name) for panel in panels if _turned(panel) for name in panel.x), default=2)
    gap = 62 + 7 * longest
    total = sum(heights) + gap * (len(panels) - 1)
    figure = make_subplots(
        rows=len(panels),
        cols=len(names),
        row_heights=heights,
        horizontal_spacing=0.1 / len(names),
        vertical_spacing=gap / total if len(panels) > 1 else 0,
    )
    limit = max(
        _largest(grid.effect.value[0, row_of]),
        abs(grid.gap.value[row_of].item()) if grid.gap_clear[row_of] else 0.0,
        *(_largest(getattr(grid, name).value[row_of]) for name in controls),
    )
    for r, panel in enumerate(panels, 1):
        for c, name in enumerate(names, 1):
            _heat(figure, grid, row_of, panel, name, limit or 1.0, r, c)
            told = panel.title if name == "effect" else _CONTROLS[name]
            heading(figure, told, r, c)
    style(figure, total + 84 + gap)
    figure.update_layout(showlegend=False, margin={"t": 84, "b": gap, "r": 96})
    figure.update_layout(
        coloraxis={
            "colorscale": [list(stop) for stop in DIVERGING],
            "cmin": -(limit or 1.0),
            "cmax": limit or 1.0,
            "colorbar": {"title": {"text": label(grid.unit[row_of])}, "thickness": 12, "len": 0.9},
        },
        title={"text": _title(grid, row_of), "font": {"size": 14}, "x": 0.01, "xanchor": "left"},
    )
    for r, panel in enumerate(panels, 1):
        for c in range(1, len(names) + 1):
            figure.update_xaxes(
                tickvals=list(range(len(panel.x))),
                ticktext=list(panel.x),
                tickangle=-90 if _turned(panel) else 0,
                ticks="",
                title={"text": panel.x_title},
                row=r,
                col=c,
            )
            figure.update_yaxes(
                tickvals=list(range(len(panel.layers))),
                ticktext=[str(layer) for layer in panel.layers],
                showgrid=False,
                ticks="",
                title={"text": "layer" if c == 1 else ""},
                row=r,
                col=c,
            )
    return figure


def _turned(panel: _Panel) -> bool:
    """Whether the labels of a panel are rotated."""
    return len(panel.x) > 8


def _title(grid: PatchGrid, row: int) -> str:
    """Title: metric, direction, scores and gap."""
    gap = interval(*grid.gap[row].ends, digits=2)
    return (
        f"<b>{label(grid.metric[row])}</b>, {label(grid.direction)}: "
        f"{label(grid.host)} {number(grid.host_score.value[row].item(), digits=2)}, "
        f"{label(grid.donor)} {number(grid.donor_score.value[row].item(), digits=2)}, gap {gap}"
        + ("" if grid.gap_clear[row] else " (not clear of 0: no shares)")
    )


def _panels(grid: PatchGrid, row: int) -> list[_Panel]:
    """Panels of a grid, one per kind of site."""
    panels = []
    for kind in dict.fromkeys(grid.kind):
        sites = [i for i, one in enumerate(grid.kind) if one == kind]
        layers = sorted({int(grid.layer[i]) for i in sites})
        place = {(int(grid.layer[i]), int(grid.head[i])): i for i in sites}
        heads = sorted({head for _, head in place})
        if heads == [-1]:
            panels.append(
                _Panel(
                    title=f"<b>{label(kind)}</b>",
                    x=tuple(label(pos, 16) for pos in grid.pos),
                    x_title="position",
                    layers=tuple(layers),
                    cells=tuple(
                        tuple((place[layer, -1], pos) for pos in range(len(grid.pos)))
                        for layer in layers
                    ),
                )
            )
            continue
        pos = int(grid.effect.value[0, row, sites].abs().amax(dim=0).argmax())
        told = "" if len(grid.pos) == 1 and grid.pos[0] == "all" else f" at {label(grid.pos[pos])}"
        panels.append(
            _Panel(
                title=f"<b>{label(kind)}</b>{told}",
                x=tuple("all" if head < 0 else str(head) for head in heads),
                x_title="head",
                layers=tuple(layers),
                cells=tuple(
                    tuple(
                        None if (site := place.get((layer, head))) is None else (site, pos)
                        for head in heads
                    )
                    for layer in layers
                ),
            )
        )
    return panels


def _heat(
    figure: Any,
    grid: PatchGrid,
    row: int,
    panel: _Panel,
    name: str,
    limit: float,
    r: int,
    c: int,
) -> None:
    """One heat map with hover texts."""
    estimate = grid.effect[0, row] if name == "effect" else getattr(grid, name)[row]
    values, clear = estimate.value, estimate.clear
    width = max(len(panel.x), 1)
    shown = [
        [float("nan") if at is None else values[at].item() for at in line] for line in panel.cells
    ]
    figure.add_heatmap(
        z=[plain_numbers(line) for line in shown],
        text=[
            [
                "" if at is None or value != value else _word(value, bool(clear[at]), limit, width)
                for at, value in zip(line, found, strict=True)
            ]
            for line, found in zip(panel.cells, shown, strict=True)
        ],
        customdata=[[_told(grid, row, at) for at in line] for line in panel.cells],
        texttemplate="%{text}",
        textfont={"size": 10},
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        row=r,
        col=c,
    )


def _word(value: float, clear: bool, limit: float, width: int) -> str:
    """A dot if the interval includes 0; else the value, if it fits and is not negligible."""
    if not clear:
        return "·"
    return number(value, sign=True, digits=1) if width <= _ROOM and abs(value) > limit / 20 else ""


def _told(grid: PatchGrid, row: int, at: tuple[int, int] | None) -> str:
    """Hover text: value, interval, share and controls of a cell."""
    if at is None:
        return ""
    lines = [f"{label(grid.site[at[0]])}, {label(grid.pos[at[1]])}"]
    lines.append(f"effect {interval(*grid.effect[0, row, *at].ends)} {label(grid.unit[row])}")
    share = grid.share[0, row, *at].ends
    if share[0] == share[0]:
        lines.append(f"share of the gap {interval(*share)}")
    lines.append(f"adjusted p {number(grid.p[0, row][at].item())}")
    for name, words in _CONTROLS.items():
        ends = getattr(grid, name)[row, *at].ends
        if ends[0] == ends[0]:
            beyond = " (effect is beyond it)" if getattr(grid, f"above_{name}")[row][at] else ""
            lines.append(f"{words} {interval(*ends)}{beyond}")
    return "<br>".join(lines)


def _largest(values: Float[Tensor, "..."]) -> float:
    """Largest magnitude of a finite value; 0 if there is none."""
    found = values[values.isfinite()].abs()
    return found.max().item() if len(found) else 0.0
