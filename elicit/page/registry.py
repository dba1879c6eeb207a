"""What the page knows of each kind of result, registered by whoever shows it."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from elicit.page.section import Section
from elicit.page.tables import Table
from elicit.results import ElicitError, Result


class PageError(ElicitError):
    """A page that cannot be made or written."""


@dataclass(frozen=True)
class Mark:
    """One entry in the row of marks under the summary."""

    name: str
    """What stands below the mark, for instance the number of a layer."""
    mark: str
    """One or two characters."""
    word: str
    """The same in words, for readers who hear the page."""
    ground: str = ""
    """Colour behind it: `warm`, `cool`, `both`, or none."""


@dataclass(frozen=True)
class Glance:
    """A row of marks that is read at one glance."""

    label: str
    """What the marks are about."""
    marks: tuple[Mark, ...]
    legend: str
    """What each mark stands for."""


def _nothing(results: Sequence[Result]) -> tuple[()]:
    return ()


def _no_values(results: Sequence[Result]) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Part:
    """How some kinds of result are shown. Every function is given the results of these kinds."""

    name: str
    """Unique; a part of the same name is replaced."""
    kinds: tuple[type[Result], ...]
    """Classes of result that are shown."""
    order: int = 100
    """Parts of lower order stand earlier on the page."""
    sections: Callable[[Sequence[Result]], Sequence[Section]]
    """Sections of the page, in their order."""
    sentences: Callable[[Sequence[Result]], Sequence[str]] = _nothing
    """What was found, for the top of the page and the summary of a job."""
    silent: str = ""
    """What to say on a page on which no part has a sentence."""
    eyebrow: Callable[[Sequence[Result]], str] = lambda results: ""
    """Small print above the title of a page that holds nothing else; empty for the usual one."""
    moved: str = ""
    """What these results move between the models, for instance `weights`."""
    glance: Callable[[Sequence[Result]], Glance | None] = lambda results: None
    """Row of marks under the summary."""
    tables: Callable[[Sequence[Result]], Sequence[Table]] = _nothing
    """Tables that stand with the summary, before every section."""
    folder: Path | None = None
    """Where `methods.html` and `limits.html` are, Jinja partials of which either may be missing.
    They read `kinds` (names of the classes that are there) and `values`."""
    values: Callable[[Sequence[Result]], Mapping[str, object]] = _no_values
    """What the partials read besides `kinds`."""

    def of(self, results: Sequence[Result]) -> list[Result]:
        """Results of its kinds.

        Args:
            results: Results of any kind.
        """
        return [result for result in results if isinstance(result, self.kinds)]


_PARTS: dict[str, Part] = {}
R = TypeVar("R", bound=Result)


def register(part: Part) -> Part:
    """Show some kinds of result in a way of their own, on every page from now on.

    Args:
        part: How they are shown.

    Raises:
        PageError: A kind is shown by another part already.
    """
    for other in _PARTS.values():
        both = sorted(kind.__name__ for kind in {*part.kinds} & {*other.kinds})
        if both and other.name != part.name:
            raise PageError(
                f"{both[0]} is shown by the part {other.name!r} already, and {part.name!r} would "
                "show it a second time. Name the new part the same to replace it."
            )
    _PARTS[part.name] = part
    return part


def parts() -> list[Part]:
    """Every part in the order of the page; the package's own are loaded first."""
    for room in pkgutil.iter_modules([str(Path(__file__).parent)], f"{__package__}."):
        if room.ispkg:
            importlib.import_module(room.name)
    return sorted(_PARTS.values(), key=lambda part: (part.order, part.name))


def present(results: Sequence[Result]) -> list[tuple[Part, list[Result]]]:
    """Parts that have something to show, each with its results.

    Args:
        results: Results of any kind.
    """
    found = ((part, part.of(results)) for part in parts())
    return [(part, own) for part, own in found if own]


def unknown(results: Sequence[Result]) -> list[Result]:
    """Results that no part shows.

    Args:
        results: Results of any kind.
    """
    kinds = tuple(kind for part in parts() for kind in part.kinds)
    return [result for result in results if not isinstance(result, kinds)]


def sentences(results: Sequence[Result]) -> list[str]:
    """What was found, in the order of the page; empty where no part says anything.

    Args:
        results: Results of any kind.
    """
    return [said for part, own in present(results) for said in part.sentences(own)]


def first(results: Sequence[Result], kind: type[R]) -> R | None:
    """First result of a class; None where there is none.

    Args:
        results: Results of any kind.
        kind: The class.
    """
    return next((result for result in results if isinstance(result, kind)), None)
