"""Figures of attribution: heat maps of nodes, the largest edges with their intervals."""

from typing import Any

from elicit.patching.attribution.result import EdgeScores, NodeScores
from elicit.results.drawing import (
    BLUE,
    DIVERGING,
    FAINT,
    VERMILION,
    figure,
    heading,
    interval,
    label,
    number,
    plain_numbers,
    style,
)

_EDGES = 30
"""Number of edges shown."""


@figure.register
def node_figure(scores: NodeScores) -> Any:
    """Score of each cell, layers × positions or heads; a dot: the interval includes 0.

    One panel per kind of site, on one scale centred at 0. Sites with heads are shown at the
    position with the largest score.
    """
    from plotly.subplots import make_subplots

    kinds = list(dict.fromkeys(scores.kind))
    rows = {kind: [i for i, one in enumerate(scores.kind) if one == kind] for kind in kinds}
    heights = [min(max(22 * len({int(scores.layer[i]) for i in rows[k]}) + 20, 120), 640)
               for k in kinds]  # fmt: skip
    total = sum(heights)
    figure = make_subplots(
        rows=len(kinds),
        cols=1,
        row_heights=heights,
        vertical_spacing=min(96 / (total + 96 * len(kinds)), 1 / max(len(kinds) - 1, 1) / 2),
    )
    for r, kind in enumerate(kinds, 1):
        _panel(figure, scores, kind, rows[kind], r)
    limit = scores.score.value.abs().max().item() or 1.0
    style(figure, total + 96 * len(kinds) + 80)
    figure.update_layout(
        showlegend=False,
        margin={"t": 84, "b": 64, "r": 96},
        coloraxis={
            "colorscale": [list(stop) for stop in DIVERGING],
            "cmin": -limit,
            "cmax": limit,
            "colorbar": {"title": {"text": label(scores.unit)}, "thickness": 12, "len": 0.9},
        },
        title={"text": _title(scores), "font": {"size": 14}, "x": 0.01, "xanchor": "left"},
    )
    return figure


def _title(scores: NodeScores) -> str:
    told = f"<b>{label(scores.metric)}</b>, {label(scores.direction)}, {label(scores.method)}"
    if scores.agreement is None:
        return told
    found = scores.agreement
    return (
        f"{told}: rank correlation with the exact sweep {number(found.spearman, digits=2)}, "
        f"{number(found.recall, digits=2)} of its top {found.top}"
    )


def _panel(figure: Any, scores: NodeScores, kind: str, sites: list[int], r: int) -> None:
    """One heat map."""
    layers = sorted({int(scores.layer[i]) for i in sites})
    heads = sorted({int(scores.head[i]) for i in sites})
    place = {(int(scores.layer[i]), int(scores.head[i])): i for i in sites}
    if heads == [-1]:
        x = [label(pos, 16) for pos in scores.pos]
        cells = [[(place[layer, -1], pos) for pos in range(len(x))] for layer in layers]
        title = f"<b>{label(kind)}</b>"
    else:
        pos = int(scores.score.value[sites].abs().amax(dim=0).argmax())
        x = ["all" if head < 0 else str(head) for head in heads]
        cells = [
            [(place[layer, head], pos) if (layer, head) in place else None for head in heads]
            for layer in layers
        ]
        title = f"<b>{label(kind)}</b> at {label(scores.pos[pos])}"
    values = [[float("nan") if at is None else scores.score.value[at].item() for at in line]
              for line in cells]  # fmt: skip
    figure.add_heatmap(
        z=[plain_numbers(line) for line in values],
        text=[
            ["" if at is None or scores.score.clear[at] else "·" for at in line] for line in cells
        ],
        customdata=[["" if at is None else _told(scores, at) for at in line] for line in cells],
        texttemplate="%{text}",
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        coloraxis="coloraxis",
        xgap=1,
        ygap=1,
        row=r,
        col=1,
    )
    heading(figure, title, r)
    figure.update_xaxes(
        tickvals=list(range(len(x))),
        ticktext=x,
        tickangle=-90 if len(x) > 8 else 0,
        ticks="",
        automargin=True,
        title={"text": "position" if heads == [-1] else "head"},
        row=r,
        col=1,
    )
    figure.update_yaxes(
        tickvals=list(range(len(layers))),
        ticktext=[str(layer) for layer in layers],
        showgrid=False,
        ticks="",
        title={"text": "layer"},
        row=r,
        col=1,
    )


def _told(scores: NodeScores, at: tuple[int, int]) -> str:
    """Hover text of a cell."""
    lines = [
        f"{label(scores.site[at[0]])}, {label(scores.pos[at[1]])}",
        f"{label(scores.method)} {interval(*scores.score[at].ends)} {label(scores.unit)}",
    ]
    if scores.exact is not None:
        lines.append(f"exact effect {number(scores.exact[at].item(), sign=True)}")
    return "<br>".join(lines)


@figure.register
def edge_figure(scores: EdgeScores) -> Any:
    """The edges with the largest scores, largest first, with their intervals."""
    from plotly.graph_objects import Figure

    sender = {name: at for at, name in enumerate(scores.sender)}
    receiver = {name: at for at, name in enumerate(scores.receiver)}
    largest = scores.largest(_EDGES)
    names = [f"{label(s)} → {label(r)}" for s, r, _ in largest]
    values = [value for _, _, value in largest]
    cells = [(sender[s], receiver[r]) for s, r, _ in largest]
    shown = [scores.score[at] for at in cells]
    low, high = ([each.ends[end] for each in shown] for end in (1, 2))
    clear = [bool(each.clear) for each in shown]
    color = [BLUE if value > 0 else VERMILION for value in values]
    figure = Figure()
    figure.add_scatter(
        x=plain_numbers(values),
        y=names,
        mode="markers",
        marker={
            "size": 8,
            "color": [c if yes else "white" for c, yes in zip(color, clear, strict=True)],
            "line": {"color": color, "width": 1.5},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [b - v for b, v in zip(high, values, strict=True)],
            "arrayminus": [v - a for v, a in zip(values, low, strict=True)],
            "color": FAINT,
            "thickness": 1.5,
            "width": 3,
        },
        text=[
            f"{name}<br>{interval(v, a, b)} {label(scores.unit)}"
            for name, v, a, b in zip(names, values, low, high, strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    style(figure, 120 + 22 * len(names)).update_layout(showlegend=False)
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(
        title={
            "text": f"score, {label(scores.unit)}; hollow: the simultaneous interval includes 0"
        },
        zeroline=True,
        zerolinecolor=FAINT,
    )
    return figure
