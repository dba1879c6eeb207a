"""Figures of a weight change: how much each layer moved, and where in the layer."""

from typing import Any

from torch import Tensor

from elicit.results import figure, label, marks, number
from elicit.results.marks import INK, MUTED
from elicit.weights.geometry import WeightChange, by_layer

_ORDER = ("q", "k", "v", "o", "gate", "up", "down", "norm")
_GREYS = [[0, "#ffffff"], [1, "#1f3b57"]]


@figure.register
def change_figure(change: WeightChange) -> Any:
    """Relative size of the change of each kind of tensor in each layer."""
    measures = [
        ("relative norm", change.relative_norm),
        ("activation-weighted norm", change.activation_norm),
    ]
    measures = [(name, values) for name, values in measures if not values.isnan().all()]
    layers = sorted({layer for layer in change.layer.tolist() if layer >= 0})
    kinds = [
        p.partition(".")[2]
        for p, n in zip(change.place, change.layer.tolist(), strict=True)
        if n >= 0
    ]
    kinds = sorted(set(kinds), key=lambda k: (_ORDER.index(k) if k in _ORDER else len(_ORDER), k))
    n = max(len(measures), 1)
    figure = marks.panels(n, gaps=(0.12, None), shared="x")
    for row, (name, values) in enumerate(measures, 1):
        grid = _grid(change, values, layers, kinds)
        words = [[number(value) for value in line] for line in grid]
        trace = marks.heat(grid, words, words) | {
            "x": layers,
            "y": [label(kind, 14) for kind in kinds],
            "customdata": None,
            "texttemplate": "%{text}" if len(layers) <= 14 else None,
            "hovertemplate": f"layer %{{x}}, %{{y}}<br>{name} %{{text}}<extra></extra>",
            "colorscale": _GREYS,
            "zmin": 0,
            "showscale": False,
        }
        figure.add_trace(trace, row=row, col=1)
        figure.update_yaxes(type="category", autorange="reversed", row=row, col=1)
    marks.style(figure, 90 + n * (50 + 21 * len(kinds)), top=32, legend="none")
    figure.update_yaxes(showgrid=False, ticks="")
    figure.update_xaxes(ticks="", dtick=1 if len(layers) <= 40 else None)
    figure.update_xaxes(title={"text": "layer"}, row=n, col=1)
    for row, (name, _) in enumerate(measures, 1):
        marks.heading(figure, name.capitalize(), row)
    return figure


def _grid(
    change: WeightChange, values: Tensor, layers: list[int], kinds: list[str]
) -> list[list[float]]:
    """Root mean square of the values of each kind of tensor in each layer."""
    found: dict[tuple[str, int], list[float]] = {}
    for place, layer, value in zip(
        change.place, change.layer.tolist(), values.tolist(), strict=True
    ):
        found.setdefault((place.partition(".")[2], layer), []).append(value)

    def one(kind: str, layer: int) -> float:
        held = found.get((kind, layer), [])
        return (sum(v * v for v in held) / len(held)) ** 0.5 if held else float("nan")

    return [[one(kind, layer) for layer in layers] for kind in kinds]


def draw_layers(figure: Any, change: WeightChange, row: int) -> None:
    """Draw each layer's change as bars in a panel of a figure."""
    layers = by_layer(change)
    xs = layers.layer.tolist()
    relative, weighted = layers.relative_norm.tolist(), layers.activation_norm.tolist()
    zero = layers.from_zero.tolist()
    texts = [
        number(value) + (" and a tensor that was 0 in base" if new else "")
        for value, new in zip(relative, zero, strict=True)
    ]
    figure.add_bar(
        x=xs,
        y=marks.plain_numbers(relative),
        text=texts,
        textposition="none",
        name="relative norm of the weight change",
        marker={"color": "#c3cbd3", "line": {"color": MUTED, "width": 1}},
        width=0.56,
        hovertemplate="layer %{x}<br>relative norm %{text}<extra></extra>",
        legendrank=30,
        row=row,
        col=1,
    )
    if any(value == value for value in weighted):
        figure.add_scatter(
            x=xs,
            y=marks.plain_numbers(weighted),
            mode="markers",
            name="the same, activation-weighted",
            marker={"symbol": "line-ew", "size": 16, "line": {"color": INK, "width": 2.5}},
            hovertemplate="layer %{x}<br>activation-weighted %{y:.3g}<extra></extra>",
            legendrank=31,
            row=row,
            col=1,
        )
    for x, value, new in zip(xs, relative, zero, strict=True):
        if new:
            place = {"x": x, "y": value if value == value else 0, "yshift": 9, "row": row, "col": 1}
            figure.add_annotation(text="+∞", showarrow=False, **place)
    figure.update_yaxes(rangemode="tozero", nticks=4, row=row, col=1)
