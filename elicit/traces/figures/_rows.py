"""Rows of numbers that go from left to right, with their names above them."""

from typing import Any

from torch import Tensor

from elicit.results import marks
from elicit.results.marks import INK

ROW, HEAD = 50, 36
"""Pixels of a row, and of the heading of a group of rows."""


def write(figure: Any, y: int | float, text: str, size: int, color: str = INK) -> None:
    """Text over the panel's left edge; above its row, so that a narrow screen has room."""
    figure.add_annotation(
        text=text, x=0, xref="paper", xanchor="left", xshift=4, y=y, yanchor="middle",
        showarrow=False, font={"size": size, "color": color}, bgcolor="rgba(255,255,255,0.8)",
    )  # fmt: skip


def across(figure: Any, rows: int | float, title: str, ends: tuple[float, float] | None) -> None:
    """Common look of pictures whose numbers go from left to right, the first row on top."""
    marks.style(figure, int(ROW * rows) + 104, top=40, legend="above")
    figure.update_layout(margin={"b": 56, "l": 16})
    figure.update_xaxes(title={"text": title})
    if ends is not None:
        figure.update_xaxes(range=list(ends))
    figure.update_yaxes(showticklabels=False, range=[rows, 0], showgrid=False, ticks="")


def finite(values: Tensor) -> list[float]:
    return values[values.isfinite()].tolist()


def faint(color: str) -> str:
    """A colour that lets others through."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.12)"
