"""Sections of the page, and the generic section of a result class without a registered part."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elicit.page.plots import Plot, plot
from elicit.page.tables import Table, table_of
from elicit.results import Result, ResultError, number

if TYPE_CHECKING:
    import pandas

_ROWS = 200
"""Maximum number of rows of a generic table."""


@dataclass(frozen=True)
class Fragment:
    """A piece of the page rendered by its own template."""

    template: Path
    """Jinja template beside its renderer; values are escaped."""
    values: Mapping[str, object]
    """Variables of the template."""


@dataclass(frozen=True)
class Section:
    """One section of the page."""

    id: str
    title: str
    lead: str
    items: tuple[Plot | Table | Fragment, ...]


def generic_section(result: Result, n: int) -> Section:
    """Generic section of a result: title, figure if available, and tables."""
    items: list[Plot | Table | Fragment] = []
    try:
        figure = result.figure()
        if not figure.layout.height:
            figure.update_layout(height=420)
        told = f"{result._title()} The numbers are in the tables."
        items.append(plot(f"plot-other-{n}", figure, result._title(), columns=20, alt=told))
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
    """First rows of one long-format table of a result."""
    rows = [
        [number(value) if isinstance(value, float) else str(value) for value in row]
        for row in frame.head(_ROWS).itertuples(index=False)
    ]
    caption = f"First {len(rows)} of {len(frame)} rows."
    return table_of(caption, [str(name) for name in frame.columns], rows, 1, folded)
