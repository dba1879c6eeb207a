"""What can be exported from a folder: its results, vectors, SAEs and texts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from elicit.directions import Direction, DirectionSet, TrainedVector
from elicit.exports.errors import ExportError
from elicit.features import Sae, load_sae
from elicit.results import (
    MANIFEST,
    ElicitError,
    Result,
    ResultError,
    load_result,
    parse_json,
    read_file,
)
from elicit.sites import parse_site

T = TypeVar("T")
_SAE_CONFIG = "cfg.json"
_LARGEST = 2**26


@dataclass(frozen=True, kw_only=True)
class Material:
    """A folder that holds something to export: a run, one result, or one SAE."""

    folder: Path
    """Where it is."""
    results: Mapping[str, Path] = field(default_factory=dict)
    """Folder of each result by its name."""
    saes: Mapping[str, Path] = field(default_factory=dict)
    """Folder of each SAE by its name."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Content of `summary.json`; empty where there is none."""

    @classmethod
    def of(cls, folder: Path | str) -> "Material":
        """What a folder holds.

        Args:
            folder: A run directory, the folder of one result, or the folder of an SAE.

        Raises:
            ExportError: There is nothing in it that could be exported.
        """
        folder = Path(folder)
        inner = sorted(folder.iterdir()) if folder.is_dir() else []
        places = [folder, *(place for place in inner if place.is_dir())]
        found = cls(
            folder=folder,
            results={place.name: place for place in places if (place / MANIFEST).is_file()},
            saes={place.name: place for place in places if (place / _SAE_CONFIG).is_file()},
            summary=_json(folder / "summary.json"),
        )
        if not found.results and not found.saes:
            raise ExportError(
                f"{folder} holds no result and no SAE, so there is nothing to export. Pass the "
                "directory of a finished run, or the folder of one result."
            )
        return found

    def result(self, name: str | None) -> Result:
        """One result.

        Args:
            name: Its folder's name; None if there is only one.

        Raises:
            ExportError: There is none of that name, or several and no name.
        """
        if name is None and len(self.results) == 1:
            name = next(iter(self.results))
        if name is None or name not in self.results:
            held = ", ".join(self.results) or "none"
            what = "names no result" if name is None else f"has no result {name!r}"
            raise ExportError(
                f"the request {what} of {self.folder}, so it is not clear what to export. It has "
                f"{held}: pass one of them as result."
            )
        return load_result(self.results[name])

    def texts(self, name: str | None, takes: tuple[type, ...]) -> Result:
        """A result with texts.

        Args:
            name: Its folder's name; None: the first that has texts.
            takes: Classes with texts.

        Raises:
            ExportError: There is none.
        """
        return self._first(name, lambda result: result if isinstance(result, takes) else None,
                           "texts of a model, such as those of elicit report or steer")  # fmt: skip

    def vector(self, name: str | None, site: str | None = None) -> Direction:
        """A steering vector.

        Args:
            name: Folder's name of its result; None: the first result that is a vector.
            site: Which of a set of directions.

        Raises:
            ExportError: There is none, or it is not said which of a set.
        """

        def found(result: Result) -> Direction | None:
            if isinstance(result, TrainedVector):
                result = result.direction
            if isinstance(result, DirectionSet) and (name is not None or site is not None):
                if site is None and len(result) > 1:
                    raise ExportError(
                        f"{name} holds directions at {', '.join(result.site)}, so it is not clear "
                        "which to export. Pass one of these as site."
                    )
                return result.at(parse_site(site or result.site[0]))
            return result if isinstance(result, Direction) else None

        got = self._first(name, found, "a direction, such as that of elicit steer")
        if site is not None and str(got.site) != site:
            raise ExportError(
                f"the direction of {self.folder} is at {got.site} and site is {site!r}, so another "
                "would be exported than meant. Leave site out, or name its result."
            )
        return got

    def sae(self, name: str | None) -> tuple[Path, Sae]:
        """An SAE and its folder.

        Args:
            name: Its folder's name; None if there is only one.

        Raises:
            ElicitError: There is none, several and no name, or it cannot be loaded.
        """
        if name is None and len(self.saes) == 1:
            name = next(iter(self.saes))
        if name is None or name not in self.saes:
            raise ExportError(
                f"{self.folder} has the SAEs {', '.join(self.saes) or 'none'}, so it is not clear "
                "which to export. Pass the folder of one, or its name as result."
            )
        return self.saes[name], load_sae(self.saes[name])

    def _first(self, name: str | None, found: Callable[[Result], T | None], what: str) -> T:
        for each in [*self.results] if name is None else [name]:
            try:
                got = found(self.result(each))
            except ResultError:
                if name is not None:
                    raise
                continue
            if got is not None:
                return got
        which = f"result {name!r} of {self.folder}" if name is not None else str(self.folder)
        raise ExportError(
            f"{which} is not {what}, so there is nothing to write. It has "
            f"{', '.join(self.results) or 'no results'}."
        )


def _json(path: Path) -> Mapping[str, Any]:
    """A JSON object, or an empty one where there is none."""
    try:
        value = parse_json(read_file(path, limit=_LARGEST))
    except (OSError, ValueError, ElicitError):
        return {}
    return value if isinstance(value, dict) else {}
