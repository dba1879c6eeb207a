"""Profiles of both models over the layers, and their difference on the same tokens."""

from collections.abc import Sequence
from typing import Any

import torch

from elicit.results import Estimate
from elicit.results.drawing import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    VERMILION,
    figure,
    heading,
    interval,
    label,
    number,
    plain_numbers,
    style,
)
from elicit.revision.figures.marks import ends_of
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
    """Divergence from the final prediction over layers, and post minus base, each with its band.

    Args:
        settling: Depths that were read.
    """
    from plotly.subplots import make_subplots

    s = settling
    n = len(s.source)
    figure = make_subplots(
        rows=2,
        cols=n,
        row_heights=[0.58, 0.42],
        shared_xaxes=True,
        shared_yaxes="rows",  # pyright: ignore[reportArgumentType]
        vertical_spacing=0.13,
        horizontal_spacing=0.04,
    )
    x = s.layer.tolist()
    for c, source in enumerate(s.source, 1):
        for m, model in enumerate(s.model):
            _line(
                figure,
                x,
                s.profile[c - 1, m],
                name=label(model),
                color=COLORS[m],
                band=_BANDS[m],
                legend=c == 1,
                place=(1, c),
            )
        _line(
            figure,
            x,
            s.profile_diff[c - 1],
            name="post minus base, same tokens",
            color=INK,
            band=_BAND,
            legend=c == 1,
            place=(2, c),
        )
        heading(figure, f"<b>{label(WRITERS.get(source, source))}</b>", 1, c)
        heading(figure, "post minus base", 2, c)
        for row in (1, 2):
            figure.add_vrect(
                x0=s.deep_from - 0.5,
                x1=s.n_layers + 0.5,
                fillcolor=DEEP,
                line_width=0,
                layer="below",
                row=row,  # pyright: ignore[reportArgumentType]
                col=c,  # pyright: ignore[reportArgumentType]
            )
        dashed = {"color": MUTED, "width": 1, "dash": "dash"}
        figure.add_hline(y=s.convention.nats, line=dashed, row=1, col=c)  # pyright: ignore
        figure.add_hline(y=0, line={"color": FAINT, "width": 1}, row=2, col=c)  # pyright: ignore
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
    style(figure, 560).update_layout(margin={"t": 84})
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.update_xaxes(range=[-0.5, s.n_layers + 0.5], dtick=1 if s.n_layers <= 24 else 4)
    figure.update_xaxes(
        title={"text": "layer (0: embedding; grey: deep)"}, showticklabels=True, row=2
    )
    figure.update_yaxes(range=[0, LN2 * 1.04], row=1)
    diff = torch.stack([s.profile_diff.value, s.profile_diff.low, s.profile_diff.high])
    reach = float(diff.abs().nan_to_num().max()) or 1.0
    figure.update_yaxes(range=[-1.1 * reach, 1.1 * reach], row=2)
    figure.update_yaxes(title={"text": "divergence from final, nats"}, row=1, col=1)
    figure.update_yaxes(title={"text": "nats"}, row=2, col=1)
    return figure


def _line(
    figure: Any,
    x: Sequence[int],
    estimate: Estimate,
    *,
    name: str,
    color: str,
    band: str,
    legend: bool,
    place: tuple[int, int],
) -> None:
    """A line with its joint band; marks are filled where the interval is clear of 0."""
    value, low, high = (end.tolist() for end in (estimate.value, estimate.low, estimate.high))
    row, col = place
    if all(end == end for end in (*low, *high)):
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*high, *reversed(low)],
            fill="toself",
            fillcolor=band,
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            row=row,
            col=col,
        )
    hover = [
        f"{name}<br>{'embedding' if layer == 0 else f'layer {layer}'}: {interval(*three)} nats"
        f"<br>{number(three[0] / LN2)} bits"
        for layer, three in zip(x, ends_of(estimate), strict=True)
    ]
    figure.add_scatter(
        x=list(x),
        y=plain_numbers(value),
        mode="lines+markers",
        line={"color": color, "width": 2},
        marker={
            "size": 6,
            "color": [color if yes else "white" for yes in estimate.clear],
            "line": {"color": color, "width": 1.5},
        },
        text=hover,
        hovertemplate="%{text}<extra></extra>",
        name=name,
        legendgroup=name,
        showlegend=legend,
        row=row,
        col=col,
    )
