"""Sections of the page, and the one of a result that nobody registered anything for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from elicit.page.plots import Plot, plot
from elicit.page.table import Table, frame_table
from elicit.results import Result, ResultError


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
        frame_table(
            frame, f"Numbers of {name}" + (f" by {', '.join(axes)}" if len(frames) > 1 else "")
        )
        for axes, frame in frames.items()
    ]
    return Section(f"other-{n}", name, result._title(), tuple(items))
