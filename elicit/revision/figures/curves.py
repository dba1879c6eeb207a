"""Profiles of both models over the layers, and their difference on the same tokens."""

from collections.abc import Sequence
from typing import Any

import torch

from elicit.results import Estimate, figure, label, marks, number
from elicit.results.marks import BLUE, FAINT, INK, MUTED, VERMILION
from elicit.revision.figures.lines import after
from elicit.revision.settling import Settling
from elicit.texts import LN2

COLORS = (BLUE, VERMILION)
"""Base, post."""
_BANDS = ("rgba(0,114,178,0.16)", "rgba(213,94,0,0.16)")
_BAND = "rgba(31,35,40,0.12)"
DEEP = "#f1f2f4"
"""Ground behind the layers at which settling is deep."""
WRITERS = {
    "given": "given traces",
    "base": "texts that base wrote",
    "post": "texts that post wrote",
    "prompt": "the decision after the prompt",
}
"""Sources of traces in words."""


@figure.register
def settling_figure(settling: Settling) -> Any:
    """Divergence from the final prediction over layers, and post minus base, each with its band."""
    s = settling
    n = len(s.source)
    figure = marks.panels(2, n, heights=[0.58, 0.42], gaps=(0.13, 0.04), shared="xy")
    x = s.layer.tolist()
    for c, source in enumerate(s.source, 1):
        shown = [
            (1, s.profile[c - 1, m], label(model), COLORS[m], _BANDS[m])
            for m, model in enumerate(s.model)
        ]
        shown.append((2, s.profile_diff[c - 1], "post minus base, same tokens", INK, _BAND))
        for row, estimate, name, color, band in shown:
            for trace in _line(x, estimate, name, color, band, legend=c == 1):
                figure.add_trace(trace, row=row, col=c)
        marks.heading(figure, f"<b>{label(WRITERS.get(source, source))}</b>", 1, c)
        marks.heading(figure, "post minus base", 2, c)
        deep = {"x0": s.deep_from - 0.5, "x1": s.n_layers + 0.5, "fillcolor": DEEP}
        for row in (1, 2):
            figure.add_vrect(**deep, line_width=0, layer="below", row=row, col=c)
        dashed = {"color": MUTED, "width": 1, "dash": "dash"}
        figure.add_hline(y=s.convention.nats, line=dashed, row=1, col=c)
        figure.add_hline(y=0, line={"color": FAINT, "width": 1}, row=2, col=c)
    figure.add_annotation(
        text=f"g = {s.convention.threshold:g} {s.convention.unit}",
        x=s.n_layers + 0.4,
        y=s.convention.nats,
        xref="x",
        yref="y",
        xanchor="right",
        yanchor="bottom",
        showarrow=False,
        font={"size": 11, "color": MUTED},
    )
    marks.style(figure, 560, top=84, legend="above")
    figure.update_xaxes(range=[-0.5, s.n_layers + 0.5], dtick=1 if s.n_layers <= 24 else 4)
    below = {"text": "layers run (0: embedding; grey: deep)"}
    figure.update_xaxes(title=below, showticklabels=True, row=2)
    figure.update_yaxes(range=[0, LN2 * 1.04], row=1)
    diff = torch.stack([s.profile_diff.value, s.profile_diff.low, s.profile_diff.high])
    reach = float(diff.abs().nan_to_num().max()) or 1.0
    figure.update_yaxes(range=[-1.1 * reach, 1.1 * reach], row=2)
    figure.update_yaxes(title={"text": "divergence from final, nats"}, row=1, col=1)
    figure.update_yaxes(title={"text": "nats"}, row=2, col=1)
    return figure


def _line(
    x: Sequence[int], estimate: Estimate, name: str, color: str, band: str, *, legend: bool
) -> list[dict[str, Any]]:
    """A joint band and its line; marks are filled where the interval excludes 0."""
    value, low, high = (end.tolist() for end in (estimate.value, estimate.low, estimate.high))
    traces: list[dict[str, Any]] = []
    if all(end == end for end in (*low, *high)):
        traces.append(
            {
                "x": [*x, *reversed(x)],
                "y": [*high, *reversed(low)],
                "fill": "toself",
                "fillcolor": band,
                "line": {"width": 0},
                "mode": "lines",
                "hoverinfo": "skip",
                "showlegend": False,
            }
        )
    places = [after(layer) for layer in x]
    hover = marks.hovers(f"{name}<br>", places, estimate, "nats")
    line = {
        "x": list(x),
        "y": marks.plain_numbers(value),
        "mode": "lines+markers",
        "line": {"color": color, "width": 2},
        "marker": marks.hollow(color, estimate.clear, 6),
        "text": [f"{w}<br>{number(v / LN2)} bits" for w, v in zip(hover, value, strict=True)],
        "hovertemplate": "%{text}<extra></extra>",
        "name": name,
        "legendgroup": name,
        "showlegend": legend,
    }
    return [*traces, line]
