"""Figures as the page holds them: data that no text in it can turn into markup."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from elicit.results import clean_text

# What our own builders write; anything else that looks like a tag came from somewhere else.
_FOREIGN = re.compile(r"<(?!/?(?:b|br|i|extra)>)")
_ENDS_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


@dataclass(frozen=True)
class Key:
    """One entry of a figure's legend: an SVG shape, and what it stands for."""

    shape: str
    text: str


@dataclass(frozen=True)
class Plot:
    """One figure of the page."""

    id: str
    data: str
    """Traces and layout as JSON that is safe inside a script element."""
    height: int
    min_width: int
    """Narrower screens scroll the figure sideways."""
    caption: str
    keys: tuple[Key, ...] = ()
    folded: str = ""
    """Where it is not empty the figure is closed behind these words."""


def plot(
    id: str,
    figure: Any,
    caption: str,
    *,
    columns: int,
    keys: tuple[Key, ...] = (),
    folded: str = "",
) -> Plot:
    """A plotly figure made fit for the page.

    Args:
        id: Fixed id of its element.
        figure: Plotly figure.
        caption: How to read it.
        columns: Places along the x axis, which need room.
        keys: Legend, drawn by the page so that it wraps on narrow screens.
        folded: Words of the fold, if it is to be closed at first.
    """
    if keys:
        figure.update_layout(showlegend=False)
        top = figure.layout.margin.t
        figure.update_layout(
            margin={"t": min(top, 28)}, height=figure.layout.height - max(top - 28, 0)
        )
    safe = _neutral(figure.to_plotly_json())
    text = json.dumps({"data": safe["data"], "layout": safe["layout"]}, sort_keys=True)
    data = re.sub("[<>&]", lambda found: _ENDS_SCRIPT[found[0]], text)
    return Plot(
        id, data, int(figure.layout.height), max(300, 22 * columns + 80), caption, keys, folded
    )


def _neutral(value: Any) -> Any:
    """The same figure with every tag escaped that our builders do not write."""
    if isinstance(value, str):
        return _FOREIGN.sub("&lt;", clean_text(value))
    if isinstance(value, dict):
        return {str(key): _neutral(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_neutral(item) for item in value]
    if hasattr(value, "tolist"):
        return _neutral(value.tolist())
    # JSON has no other numbers than finite ones; plotly leaves the place empty.
    return None if isinstance(value, float) and not math.isfinite(value) else value
