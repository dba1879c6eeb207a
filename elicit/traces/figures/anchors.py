"""Pictures of steps that decide, and of heads that pick single steps."""

from typing import Any

import torch

from elicit.results import figure, interval, label, marks, number
from elicit.results.marks import DIVERGING, FAINT, MUTED
from elicit.traces.anchors import Anchors
from elicit.traces.figures._rows import across, write
from elicit.traces.receivers import Receivers


@figure.register
def anchors_figure(found: Anchors) -> Any:
    """Importance of steps in both models, of those measures that are shares."""
    figure = marks.blank()
    rows = [i for i, unit in enumerate(found.unit) if unit == "share"]
    names = [found.metric[i] for i in rows]
    places = [i + 0.68 for i in range(len(rows))]
    marks.both_models(figure, places, found.estimate[rows], names)
    for place, row in zip(places, rows, strict=True):
        write(figure, place - 0.4, label(found.metric[row]), 12)
        if bool(found.estimate.value[row].isnan().all()):
            write(figure, place - 0.06, "not measured", 11, MUTED)
    across(figure, len(rows) + 0.15, "total variation", (-0.03, 1.03))
    for edge in (0, 1):
        marks.level(figure, edge, FAINT, upright=True)
    return figure


@figure.register
def receivers_figure(found: Receivers) -> Any:
    """Concentration of every head above that of its recency; dots: that interval excludes 0."""
    n_layers, n_heads = len(found.layer), len(found.head)
    figure = marks.panels(1, 2, gaps=(None, 0.08), shared="y")
    marks.style(figure, max(240, 26 * n_layers + 150), top=84, legend="none")
    values = found.above_recency.value
    ends = marks.largest(values) or 1.0
    for column, name in enumerate(found.reading):
        words = [["●" if x else "" for x in row] for row in _clear(found, column)]
        hover = [
            [
                f"{label(name)}, layer {layer}, head {head}: "
                + interval(*found.above_recency[column, i, j].ends)
                + f"; step just before {number(found.within_one[column, i, j].item(), digits=2)}"
                for j, head in enumerate(found.head.tolist())
            ]
            for i, layer in enumerate(found.layer.tolist())
        ]
        figure.add_trace(
            marks.heat(values[column].tolist(), words, hover) | {"coloraxis": "coloraxis"},
            row=1,
            col=column + 1,
        )
        marks.heading(figure, label(name), 1, column + 1)
    bar = marks.BAR_ABOVE | {"y": 1, "ypad": 8}
    figure.update_layout(
        coloraxis={"colorscale": DIVERGING, "cmin": -ends, "cmax": ends, "colorbar": bar},
        margin={"t": 84, "b": 52},
    )
    figure.update_xaxes(title={"text": "head"}, **marks.ticks([str(h) for h in range(n_heads)]))
    figure.update_yaxes(dtick=1 if n_layers <= 16 else 4)
    figure.update_yaxes(title={"text": "layer"}, row=1, col=1)
    return figure


def _clear(found: Receivers, column: int) -> list[list[bool]]:
    clear = found.above_recency[column].clear & (found.above_recency.value[column] > 0)
    return torch.as_tensor(clear).tolist()
