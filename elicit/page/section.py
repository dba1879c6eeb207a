"""Sections of the page, and the one of a result that nobody registered anything for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elicit.page.plots import Plot, plot
from elicit.page.tables import Table, table_of
from elicit.results import Result, ResultError
from elicit.results.drawing import number

if TYPE_CHECKING:
    import pandas

_ROWS = 200
"""Most rows of a table that is shown as it is."""


@dataclass(frozen=True)
class Fragment:
    """A piece of the page with HTML of its own."""

    template: Path
    """Jinja template, beside its renderer; what it shows of a result is escaped."""
    values: Mapping[str, object]
    """Names that the template reads."""


@dataclass(frozen=True)
class Section:
    """One section of the page."""

    id: str
    title: str
    lead: str
    items: tuple[Plot | Table | Fragment, ...]


def generic_section(result: Result, n: int) -> Section:
    """What any result can be shown by: its title, its figure if it has one, its tables.

    Args:
        result: A result of whatever class.
        n: Its number among those of this kind, for the ids of the page.
    """
    items: list[Plot | Table | Fragment] = []
    try:
        figure = result.figure()
        if not figure.layout.height:
            figure.update_layout(height=420)
        items.append(plot(f"plot-other-{n}", figure, result._title(), columns=20))
    except ResultError:
        pass
    name = type(result).__name__
    frames = result.frames()
    items += [
        _table(frame, f"Numbers of {name}" + (f" by {', '.join(axes)}" if len(frames) > 1 else ""))
        for axes, frame in frames.items()
    ]
    return Section(f"other-{n}", name, result._title(), tuple(items))


def _table(frame: "pandas.DataFrame", folded: str) -> Table:
    """First rows of one of a result's long tables."""
    rows = [
        [number(value) if isinstance(value, float) else str(value) for value in row]
        for row in frame.head(_ROWS).itertuples(index=False)
    ]
    caption = f"First {len(rows)} of {len(frame)} rows."
    return table_of(caption, [str(name) for name in frame.columns], rows, 1, folded)
