"""Pictures of the ladder: every rung beside its control, and what it was chosen by."""

from typing import Any

from elicit.results.drawing import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    RULE,
    VERMILION,
    figure,
    heading,
    interval,
    label,
    number,
    plain_numbers,
    style,
)
from elicit.verdicts.ladder import Ladder
from elicit.verdicts.rungs import ANEW

_RUNG = 66
_MARKS = {
    "passed": ("passed", BLUE, "circle"),
    "trivial": ("trivial", BLUE, "diamond-open-dot"),
    "not distinguishable": ("not distinguishable", INK, "circle-open"),
    "under-powered": ("under-powered", INK, "diamond-open"),
}
_CURVES = {
    "base": (BLUE, "solid"),
    "post": (VERMILION, "solid"),
    ANEW: (INK, "dash"),
    "shuffled labels": (FAINT, "dot"),
    "labels by type": (FAINT, "dash"),
}
_RATE = ((0.0, "#f7f7f7"), (1.0, BLUE))
_CELLS = 84
"""Cells of a panel up to which each has its number written in it."""


@figure.register
def ladder_figure(ladder: Ladder) -> Any:
    """Every rung from below up, its number filled where it passed, its strongest control grey."""
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
                x=0, y=height[rung], text="not run", xanchor="left", showarrow=False, xshift=6,
                font={"color": MUTED},
            )  # fmt: skip
    figure.add_vline(x=0, line={"color": FAINT, "width": 1})
    figure.add_vline(x=1, line={"color": FAINT, "width": 1, "dash": "dot"})
    style(figure, _RUNG * len(ladder.rung) + 150)
    figure.update_layout(
        margin={"t": 44, "b": 56, "l": 16},
        legend={"y": 1, "yref": "container", "yanchor": "top"},
    )
    figure.update_xaxes(title={"text": "share (of prompts, of texts, of the gap)"})
    figure.update_yaxes(
        showticklabels=False, range=[-0.5, len(ladder.rung) - 0.3], showgrid=False, ticks=""
    )
    for rung, claim, unit in zip(ladder.rung, ladder.claim, ladder.unit, strict=True):
        # Above the row and not beside it, so that a narrow screen has room for the numbers.
        figure.add_annotation(
            x=0, xref="paper", xanchor="left", y=height[rung] + 0.2, yanchor="bottom",
            text=f"<b>{label(rung)}</b> {label(claim)}, {label(unit)}", showarrow=False,
            font={"size": 12}, bgcolor="rgba(255,255,255,0.8)",
        )  # fmt: skip
        figure.add_hline(y=height[rung] - 0.45, line={"color": RULE, "width": 1})
    return figure


def profile_figure(ladder: Ladder) -> Any:
    """Area under the ROC curve of probes of either model at every site, with their controls.

    Args:
        ladder: Verdicts.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    # Controls first, so that what they are compared with is drawn over them.
    for row in reversed(range(len(ladder.curve))):
        name = ladder.curve[row]
        color, dash = _CURVES[name]
        line = ladder.auroc[row]
        value, low, high = line.value.tolist(), line.low.tolist(), line.high.tolist()
        strong = name in ("base", "post")
        figure.add_scatter(
            x=list(range(len(ladder.site))),
            y=plain_numbers(value),
            error_y={
                "type": "data",
                "symmetric": False,
                "array": plain_numbers([h - v for v, h in zip(value, high, strict=True)]),
                "arrayminus": plain_numbers([v - w for v, w in zip(value, low, strict=True)]),
                "color": color,
                "thickness": 1,
                "width": 2,
                "visible": strong,
            },
            customdata=[
                f"{label(name)}, {label(site)}: {interval(*three)}"
                for site, *three in zip(ladder.site, value, low, high, strict=True)
            ],
            mode="lines+markers",
            name=name if strong else f"control: {name}",
            line={"color": color, "width": 2 if strong else 1.5, "dash": dash},
            marker={"size": 6 if strong else 4},
            hovertemplate="%{customdata}<extra></extra>",
        )
    figure.add_hline(y=0.5, line={"color": FAINT, "width": 1})
    style(figure, 380)
    figure.update_layout(
        margin={"t": 84, "b": 56},
        legend={"y": 1, "yref": "container", "yanchor": "top", "traceorder": "reversed"},
    )
    figure.update_xaxes(
        tickvals=list(range(len(ladder.site))),
        ticktext=[label(name, 20) for name in ladder.site],
        tickangle=-90 if len(ladder.site) > 8 else 0,
        automargin=True,
    )
    figure.update_yaxes(title={"text": "area under the ROC curve"})
    return figure


def sweep_figure(ladder: Ladder) -> Any:
    """Share of texts turned at every site and strength that was tried, one panel a model."""
    from plotly.subplots import make_subplots

    n = len(ladder.model)
    figure = make_subplots(rows=1, cols=n, shared_yaxes=True, horizontal_spacing=0.06)
    strengths = [f"{strength:g}" for strength in ladder.strength.tolist()]
    few = len(ladder.site) * len(strengths) <= _CELLS
    for column, model in enumerate(ladder.model):
        rates = ladder.sweep[column].tolist()
        figure.add_heatmap(
            z=rates,
            x=list(range(len(strengths))),
            y=list(range(len(ladder.site))),
            zmin=0,
            zmax=1,
            colorscale=[list(stop) for stop in _RATE],
            showscale=column == n - 1,
            colorbar={
                "title": {"text": "share", "side": "right", "font": {"size": 12}},
                "thickness": 12,
                "len": 0.9,
            },
            text=[[number(rate, digits=2) for rate in row] for row in rates] if few else None,
            texttemplate="%{text}" if few else None,
            textfont={"size": 11},
            customdata=[
                [
                    f"{label(model)}, {label(site)}, strength {strength}: {number(rate, digits=2)}"
                    for strength, rate in zip(strengths, row, strict=True)
                ]
                for site, row in zip(ladder.site, rates, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
            xgap=1,
            ygap=1,
            row=1,
            col=column + 1,
        )
        _outline(figure, ladder, column)
    style(figure, 26 * max(len(ladder.site), 6) + 130)
    figure.update_layout(margin={"t": 40, "b": 52}, showlegend=False)
    what = {"base": "base, direction added", "post": "post, direction taken off"}
    if n > 1 and "-" not in ladder.place[2]:
        what["post"] = "post, direction added"
    for column, model in enumerate(ladder.model, 1):
        heading(figure, f"<b>{what[model]}</b>", 1, column)
    figure.update_xaxes(
        tickvals=list(range(len(strengths))), ticktext=strengths, title={"text": "strength"}
    )
    step = 1 if len(ladder.site) <= 40 else 4
    figure.update_yaxes(showgrid=False, ticks="")
    figure.update_yaxes(
        tickvals=list(range(0, len(ladder.site), step)),
        ticktext=[label(name, 20) for name in ladder.site[::step]],
        row=1,
        col=1,
    )
    return figure


def _outline(figure: Any, ladder: Ladder, column: int) -> None:
    """A frame around the cell that was chosen."""
    chosen = ladder.place[3 - column]
    site, _, strength = chosen.partition(", ")
    if not chosen:
        return
    x = [abs(s - abs(float(strength))) < 1e-9 for s in ladder.strength.tolist()].index(True)
    y = ladder.site.index(site)
    figure.add_shape(
        type="rect", x0=x - 0.5, x1=x + 0.5, y0=y - 0.5, y1=y + 0.5,
        line={"color": VERMILION, "width": 2}, row=1, col=column + 1,
    )  # fmt: skip


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
    ends = (ladder.control if field == "control" else ladder.value)[places]
    value, low, high = ends.value.tolist(), ends.low.tolist(), ends.high.tolist()
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
            "thickness": 1.5,
            "width": 4,
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
