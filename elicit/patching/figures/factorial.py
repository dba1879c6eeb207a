"""Effects of a factorial over boundaries."""

from collections.abc import Sequence
from typing import Any

from elicit.patching.factorial_result import Factorial
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
    plain_numbers,
    style,
)

_TERMS = {
    "wrote": ("upstream: wrote a signal", BLUE, "solid"),
    "reader": ("downstream: reads it", VERMILION, "solid"),
    "head": ("unembedding", INK, "solid"),
    "wrote:reader": ("upstream × downstream", MUTED, "dash"),
    "wrote:head": ("upstream × unembedding", FAINT, "dash"),
    "reader:head": ("downstream × unembedding", FAINT, "dot"),
    "wrote:reader:head": ("all three", FAINT, "dashdot"),
}
"""Name, colour and dash of each term of a factorial."""


@figure.register
def factorial_figure(
    factorial: Factorial, *, terms: Sequence[str] = ("wrote", "reader", "head", "wrote:reader")
) -> Any:
    """Effects of upstream, downstream and unembedding over boundaries, with intervals.

    Args:
        factorial: Effects at every boundary.
        terms: Effects to draw.
    """
    from plotly.subplots import make_subplots

    n = len(factorial.pos)
    figure = make_subplots(rows=n, cols=1, shared_xaxes=True, vertical_spacing=0.3 / max(n, 1))
    x = factorial.boundary.tolist()
    for column, pos in enumerate(factorial.pos):
        for place, term in enumerate(terms):
            row = factorial.term.index(term)
            name, color, dash = _TERMS[term]
            effect = factorial.effect[row, :, column]
            value, low, high = (end.tolist() for end in (effect.value, effect.low, effect.high))
            told = [
                f"{name}<br>boundary {b}: {interval(*ends)} {label(factorial.unit)}"
                for b, *ends in zip(x, value, low, high, strict=True)
            ]
            figure.add_scatter(
                # Dodged, or the intervals of one boundary would overlap.
                x=[b + 0.07 * (place - (len(terms) - 1) / 2) for b in x],
                y=plain_numbers(value),
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": plain_numbers([b - v for b, v in zip(high, value, strict=True)]),
                    "arrayminus": plain_numbers([v - a for v, a in zip(value, low, strict=True)]),
                    "color": color,
                    "thickness": 1.5,
                    "width": 3,
                },
                mode="lines+markers",
                line={"color": color, "width": 2, "dash": dash},
                marker={
                    "size": 7,
                    "color": [color if yes else "white" for yes in effect.clear.tolist()],
                    "line": {"color": color, "width": 1.5},
                },
                text=told,
                hovertemplate="%{text}<extra></extra>",
                name=name,
                legendgroup=term,
                showlegend=column == 0,
                row=column + 1,
                col=1,
            )
        figure.add_hline(y=0, line={"color": FAINT, "width": 1}, row=column + 1, col=1)  # pyright: ignore
        heading(figure, f"<b>{label(factorial.metric)}</b>, position {label(pos)}", column + 1)
        figure.update_yaxes(title={"text": label(factorial.unit)}, row=column + 1, col=1)
    style(figure, 120 + 300 * n).update_layout(margin={"t": 84})
    figure.update_layout(legend={"y": 1, "yref": "container", "yanchor": "top"})
    figure.update_xaxes(dtick=1 if len(x) <= 24 else None)
    figure.update_xaxes(title={"text": "boundary: layers below it are upstream"}, row=n)
    return figure
