"""Tables of the page, which give every number of every figure without JavaScript."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from torch import Tensor

from elicit.results import Estimate, Result, axis_sizes, interval, number


@dataclass(frozen=True)
class Cell:
    """One cell, as text."""

    text: str
    strong: bool = False
    """Whether its interval excludes 0."""
    href: str = ""
    """URL that the cell links to, if any."""


@dataclass(frozen=True)
class Table:
    """A table with its caption; the first column labels the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: int = 1
    """Number of leading text columns; the others are numeric."""
    folded: str = ""
    """Label of the collapsed block; empty shows the table directly."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a result's table: heading and field."""

    head: str
    of: str | Callable[..., str | Cell]
    """Field whose axes are those of the rows or of `at`, or a function of the row's indices."""
    at: Mapping[str, int] = field(default_factory=dict)
    """Index on the field's remaining axes, by axis name."""
    digits: int = 3
    """Decimals of a number near 1."""
    effect: bool = False
    """Whether to print the sign, and bold where the interval excludes 0."""


def table_of(
    caption: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str | Cell]],
    words: int = 1,
    folded: str = "",
) -> Table:
    """A table whose cells are given as text.

    Args:
        caption: Caption.
        head: Column headings.
        rows: Text or `Cell` of each cell.
        words: Number of leading text columns.
        folded: Label of the collapsed block; empty shows the table directly.
    """
    cells = tuple(tuple(c if isinstance(c, Cell) else Cell(c) for c in row) for row in rows)
    return Table(caption, tuple(head), cells, words, folded)


def result_table(
    result: Result,
    caption: str,
    columns: Sequence[Column],
    *,
    over: str,
    rows: Sequence[int] | None = None,
    words: int = 1,
    folded: str = "",
) -> Table:
    """A table of a result's fields; an estimate is printed with its interval.

    Args:
        result: Result to tabulate.
        caption: Caption.
        columns: Heading and field of each column.
        over: Axes of the rows, for instance `"source layer"`; the last varies fastest.
        rows: Indices on the first axis, in display order; None shows all.
        words: Number of leading text columns.
        folded: Label of the collapsed block; empty shows the table directly.
    """
    axes, sizes = over.split(), axis_sizes(result)
    spans = [range(sizes[axis]) for axis in axes]
    places = list(product(spans[0] if rows is None else rows, *spans[1:]))
    known = type(result).axes()
    cells = [[_cell(result, known, column, axes, place) for column in columns] for place in places]
    return table_of(caption, [column.head for column in columns], cells, words, folded)


def _cell(
    result: Result,
    known: Mapping[str, tuple[str, ...]],
    column: Column,
    over: Sequence[str],
    place: tuple[int, ...],
) -> str | Cell:
    """Text of one cell."""
    if callable(column.of):
        return column.of(*place)
    value: Any = getattr(result, column.of)
    at = {**dict(zip(over, place, strict=True)), **column.at}
    if isinstance(value, tuple):
        # Labels lie on the axis that they name, other text on the only axis of the rows.
        return str(value[at[column.of if column.of in at else over[0]]])
    axes = known.get(column.of, known.get(f"{column.of}.value", ()))
    value = value[tuple(at[axis] for axis in axes)]
    if isinstance(value, Estimate):
        return estimate_cell(value, digits=column.digits, effect=column.effect)
    number_ = value.item() if isinstance(value, Tensor) else value
    if isinstance(number_, float):
        return number(number_, sign=column.effect, digits=column.digits)
    return str(number_)


def estimate_cell(estimate: Estimate, *, digits: int = 3, effect: bool = False) -> Cell:
    """A single number with its interval.

    Args:
        estimate: The number.
        digits: Decimals of a number near 1.
        effect: Whether to print the sign, and bold where the interval excludes 0.
    """
    text = interval(*estimate.ends, digits=digits)
    return Cell(text, bool(estimate.clear.item())) if effect else Cell(text.removeprefix("+"))


def effect_cell(value: float, low: float, high: float) -> Cell:
    """An effect with its interval, bold where the interval excludes 0.

    Args:
        value: Effect.
        low: Lower end.
        high: Upper end.
    """
    return Cell(interval(value, low, high), low > 0 or high < 0)
