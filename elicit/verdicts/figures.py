"""Picture of the ladder: every rung's number beside its strongest control."""

from typing import Any

from elicit.results.drawing import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    interval,
    label,
    plain_numbers,
    style,
)
from elicit.verdicts.ladder import Ladder

_RUNG = 64
_MARKS = {
    "passed": ("passed", BLUE, "circle"),
    "not distinguishable": ("not distinguishable", INK, "circle-open"),
    "under-powered": ("under-powered", INK, "diamond-open"),
}


def ladder_figure(ladder: Ladder) -> Any:
    """Every rung from below up, its number filled where it passed, its strongest control grey.

    Args:
        ladder: Verdicts.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    height = {rung: place for place, rung in enumerate(ladder.rung)}
    _points(
        figure, ladder, list(ladder.rung), "control", "strongest control", MUTED, "line-ns-open"
    )
    for status, (name, color, symbol) in _MARKS.items():
        shown = [r for r, s in zip(ladder.rung, ladder.status, strict=True) if s == status]
        if shown:
            _points(figure, ladder, shown, "value", name, color, symbol)
    for rung, status in zip(ladder.rung, ladder.status, strict=True):
        if status == "not run":
            figure.add_annotation(
                x=0, y=height[rung], text="not run", xanchor="left", showarrow=False,
                font={"color": MUTED},
            )  # fmt: skip
    figure.add_vline(x=0, line={"color": FAINT, "width": 1})
    figure.add_vline(x=1, line={"color": FAINT, "width": 1, "dash": "dot"})
    style(figure, _RUNG * len(ladder.rung) + 150)
    figure.update_layout(margin={"t": 64, "b": 56})
    figure.update_xaxes(title={"text": "share (of prompts, of texts, of the gap)"})
    figure.update_yaxes(
        tickvals=list(height.values()),
        ticktext=[
            f"<b>{label(rung)}</b> {label(claim)}<br>{label(unit)}"
            for rung, claim, unit in zip(ladder.rung, ladder.claim, ladder.unit, strict=True)
        ],
        range=[-0.6, len(ladder.rung) - 0.4],
        showgrid=False,
    )
    return figure


def _points(
    figure: Any,
    ladder: Ladder,
    rungs: list[str],
    field: str,
    name: str,
    color: str,
    symbol: str,
) -> None:
    """One number a rung with its interval; the control a little below the rung's own."""
    places = [ladder.rung.index(rung) for rung in rungs]
    value, low, high = (
        getattr(ladder, field + end)[places].tolist() for end in ("", "_low", "_high")
    )
    below = 0.18 if field == "control" else 0.0
    figure.add_scatter(
        x=plain_numbers(value),
        y=[place - below for place in places],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": plain_numbers([h - v for v, h in zip(value, high, strict=True)]),
            "arrayminus": plain_numbers([v - w for v, w in zip(value, low, strict=True)]),
            "color": color,
            "thickness": 1,
            "width": 3,
        },
        customdata=[
            f"{rung}: {interval(*numbers)}"
            + (f", {label(ladder.control_name[place])}" if below else "")
            for rung, place, *numbers in zip(rungs, places, value, low, high, strict=True)
        ],
        mode="markers",
        name=name,
        marker={"color": color, "symbol": symbol, "size": 10, "line": {"width": 2, "color": color}},
        hovertemplate="%{customdata}<extra></extra>",
    )
