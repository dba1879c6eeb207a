"""The common look of every figure: colours for all eyes, panels, headings, reference lines."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from elicit.results.marks.notebook import figure_class

INK, MUTED, FAINT, RULE = "#1f2328", "#636c76", "#868f99", "#e4e7ea"
"""Text, lesser text, controls and axes (contrast 3.3 to white), grid."""
BLUE, VERMILION = "#0072b2", "#d55e00"
"""The pair of Okabe & Ito's colours that stays apart for every kind of colour blindness."""
MODELS = ("base", BLUE, "circle"), ("post", VERMILION, "diamond")
WARM, COOL, BOTH = "#fbe6d8", "#dff0ea", "#ece4ee"
"""Grounds behind layers that are corrupted, carry the skill, or both."""
STOPS = (0.0, "#b35806"), (0.25, "#fdb863"), (0.5, "#f7f7f7"), (0.75, "#92a8d1"), (1.0, "#2b5c9e")
DIVERGING = [list(stop) for stop in STOPS]
"""Orange below 0, blue above, near white at 0."""
BAR_ABOVE = {"orientation": "h", "lenmode": "pixels", "len": 260, "thickness": 10, "x": 0}
BAR_ABOVE |= {"xanchor": "left", "yref": "container", "yanchor": "top", "tickfont": {"size": 11}}
"""Colour scale above the panels, seen however wide the figure is; `y` and `ypad` are its place."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def blank() -> Any:
    """Plotly figure without panels."""
    return figure_class()()


def panels(
    rows: int = 1,
    cols: int = 1,
    *,
    heights: Sequence[int | float] | None = None,
    widths: Sequence[int | float] | None = None,
    gaps: tuple[int | float | None, int | float | None] = (None, None),
    shared: str = "",
) -> Any:
    """Plotly figure with a grid of panels.

    Args:
        rows: Panels from top to bottom.
        cols: Panels from left to right.
        heights: Relative height of each row.
        widths: Relative width of each column.
        gaps: Space between rows and between columns, as shares of the figure.
        shared: Axes that all panels share: `x`, `y`, both, or neither.
    """
    from plotly.subplots import make_subplots

    return make_subplots(
        rows=rows,
        cols=cols,
        row_heights=heights,  # pyright: ignore[reportArgumentType]
        column_widths=widths,  # pyright: ignore[reportArgumentType]
        vertical_spacing=gaps[0],
        horizontal_spacing=gaps[1],
        shared_xaxes="x" in shared,
        shared_yaxes="y" in shared,
        figure=figure_class()(),
    )


def stack(
    heights: Sequence[int | float], gap: int | float, *, cols: int = 1, shared: str = ""
) -> Any:
    """Rows of panels of some heights with a gap between them, both in pixels."""
    total = sum(heights) + gap * (len(heights) - 1)
    gaps = (gap / total if len(heights) > 1 else 0, None if cols == 1 else 0.1 / cols)
    return panels(len(heights), cols, heights=list(heights), gaps=gaps, shared=shared)


def style(figure: Any, height: int, *, top: int = 56, legend: str = "") -> Any:
    """Give a plotly figure the common look and return it.

    Args:
        figure: Plotly figure.
        height: Pixels.
        top: Pixels above the panels.
        legend: `above` puts it at the upper edge of the figure, `none` leaves it out; empty puts
            it above the panels.
    """
    place = {"y": 1, "yanchor": "bottom"}
    if legend == "above":
        place = {"y": 1, "yref": "container", "yanchor": "top"}
    look: dict[str, Any] = {
        "template": "none",
        "height": height,
        "margin": {"l": 64, "r": 16, "t": top, "b": 48},
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": "white", "bordercolor": FAINT, "font": {"color": INK, "size": 13},
        },
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", **place},
        "showlegend": legend != "none",
    }  # fmt: skip
    title = {"font": {"size": 12, "color": MUTED}, "standoff": 6}
    plain = {"zeroline": False, "linecolor": FAINT, "title": title}
    ticks = {"ticks": "outside", "tickcolor": FAINT, "ticklen": 4}
    axes = {
        "x": {"showgrid": False, **plain, **ticks},
        "y": {"gridcolor": RULE, "automargin": True, **plain},
    }
    now = figure.layout.to_plotly_json()
    for name in {"xaxis", "yaxis", *now}:
        if re.fullmatch(r"[xy]axis\d*", name):
            look[name] = axes[name[0]]
    # All at once: plotly's own updates take ten times as long, as they look at every leaf anew.
    figure.layout = _merged(now, look)
    return figure


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A tree in which leaves of another take the place of its own."""
    held = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(held.get(key), Mapping)
        held[key] = _merged(held[key], value) if both else value
    return held


def heading(figure: Any, text: str, row: int = 1, col: int = 1) -> None:
    """Write a panel's title above its left edge."""
    axis = next(figure.select_xaxes(row=row, col=col))
    side = next(figure.select_yaxes(row=row, col=col))
    figure.add_annotation(
        text=text,
        x=axis.domain[0],
        y=side.domain[1],
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        yshift=3,
        showarrow=False,
        align="left",
        font={"size": 13, "color": INK},
    )


def level(
    figure: Any,
    at: int | float,
    color: str = FAINT,
    *,
    dash: str | None = None,
    row: int | None = None,
    upright: bool = False,
) -> None:
    """Reference line through all panels, or those of one row; to be drawn after the marks.

    Args:
        figure: Plotly figure; plotly draws no line in a panel that is still empty.
        at: Where, on the axis that it crosses.
        color: Of the line.
        dash: Plotly's name of a dash; None draws a solid line.
        row: Panel's row, from 1, in the first column; None draws it in every panel.
        upright: Whether it stands at an x instead of lying at a y.
    """
    line = {"color": color, "width": 1} | ({"dash": dash} if dash else {})
    where = {} if row is None else {"row": row, "col": 1}
    if upright:
        figure.add_vline(x=at, line=line, **where)
    else:
        figure.add_hline(y=at, line=line, **where)


def ticks(names: Sequence[str], *, turned: bool = False) -> dict[str, Any]:
    """Axis whose places 0, 1, 2, … have names."""
    return {
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "tickangle": -90 if turned else 0,
    }
