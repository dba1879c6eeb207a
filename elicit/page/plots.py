"""Figures embedded as data whose text cannot become markup."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from elicit.results import clean_text

# Tags that our builders write; any other tag comes from user data.
_FOREIGN = re.compile(r"<(?!/?(?:b|br|i|extra)>)")
_ENDS_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


@dataclass(frozen=True)
class Key:
    """One entry of a figure's legend: an SVG symbol and its meaning."""

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
    """Minimum width; narrower screens scroll the figure horizontally."""
    caption: str
    keys: tuple[Key, ...] = ()
    folded: str = ""
    """Label of the collapsed block; empty shows the figure directly."""
    alt: str = ""
    """What the figure shows, for who does not see it; empty takes the page's finding."""


def plot(
    id: str,
    figure: Any,
    caption: str,
    *,
    columns: int,
    keys: tuple[Key, ...] = (),
    folded: str = "",
    alt: str = "",
) -> Plot:
    """A plotly figure prepared for embedding in the page.

    Args:
        id: Id of its HTML element.
        figure: Plotly figure.
        caption: How to read it.
        columns: Positions along the x axis, which set the minimum width.
        keys: Legend entries, drawn in HTML so that they wrap on narrow screens.
        folded: Label of the collapsed block; empty shows the figure directly.
        alt: What the figure shows, for who does not see it; empty takes the page's finding.
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
        *(id, data, int(figure.layout.height), max(300, 22 * columns + 80), caption, keys, folded),
        alt=alt,
    )


def _neutral(value: Any) -> Any:
    """A copy of the figure with every tag escaped that our builders do not write."""
    if isinstance(value, str):
        return _FOREIGN.sub("&lt;", clean_text(value))
    if isinstance(value, dict):
        return {str(key): _neutral(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_neutral(item) for item in value]
    if hasattr(value, "tolist"):
        return _neutral(value.tolist())
    # JSON has no NaN or infinity; plotly draws nothing for null.
    return None if isinstance(value, float) and not math.isfinite(value) else value
