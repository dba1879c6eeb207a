"""Tables of the page: every number of every figure, for eyes and for readers without scripts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elicit.results.drawing import interval, number

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Cell:
    """One cell, already in words."""

    text: str
    strong: bool = False
    """Whether its interval is clear of 0."""
    href: str = ""
    """Page about it, if there is one."""


@dataclass(frozen=True)
class Table:
    """A table with its caption; the first column names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: int = 1
    """Leading columns that hold words; the others hold numbers."""
    folded: str = ""
    """Where it is not empty the table is closed behind these words."""


def table_of(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    words: int = 1,
    folded: str = "",
) -> Table:
    """A table whose cells are given as text.

    Args:
        caption: What it holds.
        head: Name of each column.
        rows: Text of each cell, or a cell.
        words: Leading columns that hold words.
        folded: Words of the fold, if it is to be closed at first.
    """
    cells = tuple(tuple(c if isinstance(c, Cell) else Cell(c) for c in row) for row in rows)
    return Table(caption, tuple(head), cells, words, folded)


def effect_cell(value: float, low: float, high: float) -> Cell:
    """An effect with its interval, strong where the interval is clear of 0.

    Args:
        value: Effect.
        low: Lower end.
        high: Upper end.
    """
    return Cell(interval(value, low, high), low > 0 or high < 0)


def frame_table(frame: "pandas.DataFrame", folded: str, limit: int = 200) -> Table:
    """First rows of a result's table.

    Args:
        frame: One of `Result.frames()`.
        folded: Words of the fold.
        limit: Most rows.
    """
    rows = [
        [number(value) if isinstance(value, float) else str(value) for value in row]
        for row in frame.head(limit).itertuples(index=False)
    ]
    caption = f"First {len(rows)} of {len(frame)} rows."
    return table_of(caption, [str(name) for name in frame.columns], rows, 1, folded)
