"""Registry of page parts: how each class of result is shown."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from elicit.page.section import Fragment, Section
from elicit.page.tables import Table
from elicit.results import ElicitError, Result, says


class PageError(ElicitError):
    """A page that cannot be rendered or written."""


@dataclass(frozen=True)
class Mark:
    """One entry in the row of marks under the summary."""

    name: str
    """Label below the mark, for instance a layer index."""
    mark: str
    """One or two characters."""
    word: str
    """Text alternative for screen readers."""
    ground: str = ""
    """Background: `warm`, `cool`, `both`, or empty."""


@dataclass(frozen=True)
class Glance:
    """A row of marks under the summary."""

    label: str
    """Title of the row."""
    marks: tuple[Mark, ...]
    legend: str
    """Meaning of each mark."""


def _nothing(results: Sequence[Result]) -> tuple[()]:
    return ()


def _no_values(results: Sequence[Result]) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Part:
    """How some classes of result are shown; every function receives only those results."""

    name: str
    """Unique name; registering it again replaces the part."""
    kinds: tuple[type[Result], ...]
    """Classes of result shown."""
    order: int = 100
    """Position on the page: lower comes first."""
    sections: Callable[[Sequence[Result]], Sequence[Section]]
    """Sections, in page order."""
    sentences: Callable[[Sequence[Result]], Sequence[str]] = _nothing
    """Findings, for the top of the page and the job's summary."""
    silent: str = ""
    """Shown at the top when no part has a finding."""
    eyebrow: Callable[[Sequence[Result]], str] = lambda results: ""
    """Small print above the title of a page with only this part; empty for the default."""
    moved: str = ""
    """What is moved between the models, for instance `weights`."""
    glance: Callable[[Sequence[Result]], Glance | None] = lambda results: None
    """Row of marks under the summary."""
    cards: Callable[[Sequence[Result]], Sequence[Fragment]] = _nothing
    """Answers under the summary, before marks, notes and tables."""
    tables: Callable[[Sequence[Result]], Sequence[Table]] = _nothing
    """Tables beside the summary, before every section."""
    folder: Path | None = None
    """Folder of the optional Jinja partials `methods.html` and `limits.html`, which read `kinds`
    (names of the classes present) and `values`."""
    values: Callable[[Sequence[Result]], Mapping[str, object]] = _no_values
    """Values passed to the partials besides `kinds`."""

    def of(self, results: Sequence[Result]) -> list[Result]:
        """Results of the classes that this part shows."""
        return [result for result in results if isinstance(result, self.kinds)]


_PARTS: dict[str, Part] = {}
R = TypeVar("R", bound=Result)


def register(part: Part) -> Part:
    """Register a part, shown on every later page.

    Raises:
        PageError: Another part already shows one of its classes.
    """
    for other in _PARTS.values():
        both = sorted(kind.__name__ for kind in {*part.kinds} & {*other.kinds})
        if both and other.name != part.name:
            raise PageError(
                f"{both[0]} is already shown by the part {other.name!r}, and {part.name!r} would "
                f"show it again. Use the same name to replace that part."
            )
    _PARTS[part.name] = part
    return part


def parts() -> list[Part]:
    """Every part in page order, including those of this package."""
    for room in pkgutil.iter_modules([str(Path(__file__).parent)], f"{__package__}."):
        if room.ispkg:
            importlib.import_module(room.name)
    return sorted(_PARTS.values(), key=lambda part: (part.order, part.name))


def present(results: Sequence[Result]) -> list[tuple[Part, list[Result]]]:
    """Parts that have results to show, each with those results."""
    found = ((part, part.of(results)) for part in parts())
    return [(part, own) for part, own in found if own]


def unknown(results: Sequence[Result]) -> list[Result]:
    """Results that no part shows."""
    kinds = tuple(kind for part in parts() for kind in part.kinds)
    return [result for result in results if not isinstance(result, kinds)]


def sentences(results: Sequence[Result]) -> list[str]:
    """Findings of every part in page order; may be empty."""
    return [said for part, own in present(results) for said in part.sentences(own)]


def first(results: Sequence[Result], kind: type[R]) -> R | None:
    """First result of a class, or None."""
    return next((result for result in results if isinstance(result, kind)), None)


says(lambda result: sentences([result]))
