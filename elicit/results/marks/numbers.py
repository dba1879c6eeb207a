"""Marks with intervals, their hover texts, and heat maps."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from elicit.results.drawing import interval, label
from elicit.results.estimate import Estimate
from elicit.results.marks.canvas import MODELS


def plain_numbers(values: Sequence[int | float] | Tensor) -> list[int | float | None]:
    """Numbers as a figure stores them; what is not a number is left out of the drawing."""
    values = values.tolist() if isinstance(values, Tensor) else values
    return [value if math.isfinite(value) else None for value in values]


def ends_of(estimate: Estimate) -> list[tuple[float, float, float]]:
    """Value, low and high of each number of an estimate over one axis."""
    ends = (estimate.value.tolist(), estimate.low.tolist(), estimate.high.tolist())
    return list(zip(*ends, strict=True))


def bars(
    estimate: Estimate, color: str, *, thickness: int | float = 1.5, width: int = 3
) -> dict[str, Any]:
    """Error bars of an estimate over one axis."""
    ends = ends_of(estimate)
    return {
        "type": "data",
        "symmetric": False,
        "array": plain_numbers([high - value for value, _, high in ends]),
        "arrayminus": plain_numbers([value - low for value, low, _ in ends]),
        "color": color,
        "thickness": thickness,
        "width": width,
    }


def hollow(
    color: str | Sequence[str], clear: Sequence[bool] | Bool[Tensor, " mark"], size: int | float = 8
) -> dict[str, Any]:
    """Marks that are filled only where the interval excludes 0."""
    clear = clear.tolist() if isinstance(clear, Tensor) else clear
    colors = [color] * len(clear) if isinstance(color, str) else color
    filled = [c if yes else "white" for c, yes in zip(colors, clear, strict=True)]
    return {"size": size, "color": filled, "line": {"color": color, "width": 1.5}}


def points(
    at: Sequence[int | float | str],
    estimate: Estimate,
    color: str,
    hover: Sequence[str] | None,
    *,
    marker: Mapping[str, Any],
    line: str = "",
    error: Mapping[str, Any] | None = None,
    across: bool = False,
) -> dict[str, Any]:
    """Scatter trace of an estimate: marks with error bars, joined where a line is named.

    Args:
        at: Place of each mark on the other axis.
        estimate: Over one axis.
        color: Of the bars and of the line.
        hover: Text of each mark, already fit for plotly.
        marker: Plotly's marker, see `hollow`.
        line: Dash of the line that joins the marks; empty draws none.
        error: Error bars; those of `bars` if None.
        across: Whether the values go from left to right.
    """
    values, error = plain_numbers(estimate.value), error or bars(estimate, color)
    places = {"x": values, "y": list(at)} if across else {"x": list(at), "y": values}
    return {
        "type": "scatter",
        **places,
        "error_x" if across else "error_y": error,
        "mode": "lines+markers" if line else "markers",
        **({"line": {"color": color, "width": 2, "dash": line}} if line else {}),
        "marker": dict(marker),
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
    }


def hovers(name: str, places: Sequence[str], estimate: Estimate, unit: str = "") -> list[str]:
    """Text of each mark of an estimate: what it is, where, and its interval.

    Args:
        name: What all marks show, already fit for plotly.
        places: Where each is; any text.
        estimate: Over one axis.
        unit: Of the numbers, already fit for plotly.
    """
    unit = f" {unit}" if unit else ""
    return [
        f"{name}{label(place)}: {interval(*ends)}{unit}"
        for place, ends in zip(places, ends_of(estimate), strict=True)
    ]


def heat(
    values: Sequence[Sequence[int | float]],
    words: Sequence[Sequence[str]] | None,
    hover: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Heat map trace: a cell's colour is its value; what is not a number is left blank."""
    return {
        "type": "heatmap",
        "z": [plain_numbers(line) for line in values],
        "text": words,
        "customdata": hover,
        "texttemplate": None if words is None else "%{text}",
        "hovertemplate": "%{customdata}<extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }


def both_models(
    figure: Any,
    places: Sequence[int | float],
    estimate: Estimate,
    names: Sequence[str],
    *,
    legend: bool = True,
    at: tuple[int, int] | None = None,
) -> None:
    """Rows of base's and post's number, post's a little below; `estimate` is `[row, reading]`."""
    where = {} if at is None else {"row": at[0], "col": at[1]}
    for column, (name, color, symbol) in enumerate(MODELS):
        own = estimate[:, column]
        marker = {"size": 9, "color": color, "symbol": symbol}
        shifted = [place + 0.11 * (2 * column - 1) for place in places]
        hover = hovers(f"{name}, ", names, own)
        trace = points(shifted, own, color, hover, marker=marker, across=True)
        more = {"name": name, "legendgroup": name, "showlegend": legend}
        figure.add_trace(trace | more, **where)


def largest(values: Tensor) -> float:
    """Largest magnitude of a finite value; 0 if there is none."""
    found = values[values.isfinite()].abs()
    return found.max().item() if len(found) else 0.0
