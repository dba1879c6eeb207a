"""Result: a frozen value that knows its axes, units and origin."""

import importlib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from elicit.results import axes as axes_
from elicit.results import columns as columns_
from elicit.results._own import PACKAGE
from elicit.results._own import is_own as _is_own
from elicit.results.codec import class_name, decode, known_classes, refuse_unlike
from elicit.results.descriptions import descriptions
from elicit.results.disk import disk_errors
from elicit.results.errors import ResultError
from elicit.results.folder import read_folder, result_files, write_files
from elicit.results.provenance import Provenance
from elicit.results.store import read_tensor_bytes

if TYPE_CHECKING:
    import pandas
    import xarray

R = TypeVar("R", bound="Result")

_registry: dict[str, type["Result"]] = {}


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """What a question answers: numbers on named axes, with their origin.

    Subclasses are dataclasses with the same three flags. The axes string of an array's annotation
    is checked, names the columns of the table and the axes of a plot; a field named like an axis
    labels it; the string under a field describes it. A subclass that defines `__post_init__`
    calls this one's first.

    Raises:
        ResultError: An array disagrees with its annotation or with another field.
    """

    provenance: Provenance | None = None
    """Models, versions, seed and arguments that gave these values."""

    def __init_subclass__(cls) -> None:
        """Register the class under its qualified name, the only way a file can reach it."""
        super().__init_subclass__()
        own = cls.__dict__.get("__annotations__", {})
        taken = sorted(name for name in own if name in _METHODS)
        if taken:
            raise TypeError(
                f"{cls.__name__}.{taken[0]} hides a method of every result. Rename the field."
            )
        if "__repr__" not in cls.__dict__:
            # @dataclass would write one that prints every number.
            cls.__repr__ = Result.__repr__
            # IPython stops at the first class of its own `__repr__`.
            cls._repr_pretty_ = Result._repr_pretty_
        _registry[class_name(cls)] = cls

    def __post_init__(self) -> None:
        """Refuse arrays that disagree with their annotations or with each other."""
        axes_.check(self)

    @classmethod
    def axes(cls) -> dict[str, tuple[str, ...]]:
        """Axis names of each array field, in order of declaration; nested fields are dotted."""
        return {array.name: array.axes for array in axes_.schema(cls).arrays}

    @classmethod
    def describe(cls) -> dict[str, str]:
        """Description of each field, from the string under it; fields without one are left out."""
        return dict(descriptions(cls))

    def frames(self) -> dict[tuple[str, ...], "pandas.DataFrame"]:
        """Long tables, one for each set of axes that no other field's axes contain.

        Each row is a point of the joint axes. A field on fewer axes is repeated along the others.
        """
        import pandas

        return {
            axes: pandas.DataFrame(columns_.columns(self, axes))
            for axes in columns_.frame_axes(self)
        }

    def to_frame(self) -> "pandas.DataFrame":
        """Long table over the most axes; the first declared where two have as many.

        Fields on other axes are in `frames`.
        """
        import pandas

        return pandas.DataFrame(columns_.columns(self, self._widest()))

    def to_xarray(self) -> "xarray.Dataset":
        """Data set of xarray: every array with its axes by name, labels as coordinates.

        Raises:
            ResultError: The package `xarray` is not installed.
        """
        from elicit.results.labelled import to_xarray

        return to_xarray(self)

    def figure(self) -> Any:
        """Plotly figure of the result, drawn by its package's `figures`.

        Raises:
            ResultError: This class has no figure.
        """
        from elicit.results.drawing import drawer

        draw = drawer(type(self))
        if draw is None:
            raise ResultError(
                f"{type(self).__name__} has no figure of its own. Plot the columns of to_frame(): "
                f"{', '.join(columns_.columns(self, self._widest(), limit=0))}."
            )
        return draw(self)

    def save(self, folder: Path | str) -> Path:
        """Write `values.safetensors`, `table.parquet` and `result.json` into a folder.

        Equal results give equal bytes. `result.json` is written last: a folder without one holds no
        result.

        Args:
            folder: Made if it is not there; a result in it is replaced.

        Returns:
            The folder.

        Raises:
            ResultError: A field cannot be stored, or the folder cannot be written.
        """
        folder = Path(folder)
        files = result_files(self)
        with disk_errors(folder, ResultError):
            write_files(folder, files)
        return folder

    @classmethod
    def load(cls: type[R], folder: Path | str) -> R:
        """Read a result of this class, every file checked by its digest.

        Raises:
            ResultError: A file is missing, truncated, altered or foreign, or holds another class.
        """
        folder = Path(folder)
        manifest, values = read_folder(folder)
        name = str(manifest["class"])
        found = _registry.get(name)
        if found is None or not issubclass(found, cls):
            raise ResultError(
                f"{folder} holds a {name} and {class_name(cls)} was asked for, so its fields would "
                "be misread. Call load_result, or load with the class that wrote it."
            )
        return _build(found, folder, manifest, values)

    def _widest(self) -> tuple[str, ...]:
        """Axes of the main table."""
        return max(columns_.frame_axes(self), key=len)

    @classmethod
    def _title(cls) -> str:
        """First line of the class's docstring."""
        own = cls.__dict__.get("__doc__") or ""
        # @dataclass writes a signature where there is no docstring; that says nothing here.
        return "" if own.startswith(f"{cls.__name__}(") else own.strip().partition("\n")[0]

    def _told(self) -> dict[str, object]:
        """Axes, dtype, shape and description of each field, for readers without this library."""
        told: dict[str, dict[str, object]] = {
            item.name: {"description": self.describe().get(item.name, "")}
            for item in fields(self)
            if item.init and item.name != "provenance"
        }
        for name, names in self.axes().items():
            value = axes_.value_at(self, name)
            if value is not None:
                entry = told.setdefault(name, {"description": ""})
                dtype = str(value.dtype).removeprefix("torch.")
                entry |= {"axes": list(names), "dtype": dtype, "shape": list(value.shape)}
        return dict(told)

    def __repr__(self) -> str:
        """Class, axes with their sizes, and title; never the numbers."""
        sizes = columns_.axis_sizes(self)
        arrays = [
            f"{array.column}[{', '.join(f'{axis} {sizes[axis]}' for axis in array.axes)}]"
            for array in axes_.schema(type(self)).arrays
            # An estimate stands for its two ends as well.
            if axes_.value_at(self, array.name) is not None and not array.is_end
        ]
        title = self._title()
        return f"<{' '.join([type(self).__name__, *arrays])}{title and f': {title}'}>"

    def _repr_html_(self) -> str:
        """Finding, title, first rows of the table, meaning of each field folded; all escaped."""
        from elicit.results._html import html_of

        return html_of(self, axes=self._widest(), title=self._title())

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """In IPython: what it found, then its shape."""
        from elicit.results.drawing import finding

        found = "" if cycle else finding(self)
        printer.text(f"{found}\n{self!r}" if found else repr(self))


_METHODS = frozenset(name for name in vars(Result) if not name.startswith("__")) - {"provenance"}


def load_result(folder: Path | str) -> Result:
    """Read whatever result a folder holds, as the class that wrote it.

    Classes of this package are imported when they are needed; others must be imported already,
    because a file must not choose what is imported.

    Raises:
        ResultError: A file is missing, truncated, altered or foreign, or the class that wrote it
            is not imported or no longer there.
    """
    folder = Path(folder)
    manifest, values = read_folder(folder)
    name = str(manifest["class"])
    module = name.rpartition(".")[0]
    if name not in _registry and _is_own(module):
        importlib.import_module(module)
    if name in _registry:
        return _build(_registry[name], folder, manifest, values)
    if name.startswith(f"{PACKAGE}."):
        raise ResultError(
            f"{folder} holds a {name}, which this version of elicit does not have. Load it with "
            "the version that wrote it, read its table.parquet, or measure it again."
        )
    raise ResultError(
        f"{folder} holds a {name}, which is not imported, and files must not choose what is. "
        f"Import {module} first if you trust it."
    )


def _build(cls: type[R], folder: Path, manifest: dict[str, Any], data: bytes) -> R:
    """Result from its checked files."""
    values: dict[str, Any] = manifest["values"]
    settable = {item.name: item for item in fields(cls) if item.init and item.name != "provenance"}
    needed = {
        name
        for name, item in settable.items()
        if item.default is MISSING and item.default_factory is MISSING
    }
    if not needed <= set(values) <= set(settable):
        raise ResultError(
            f"{folder} has the fields {sorted(values)} and {class_name(cls)} has "
            f"{sorted(settable)}, so it was written by another version of elicit. Load it with "
            "that version or recompute the result."
        )
    try:
        arrays, _ = read_tensor_bytes(data)
        known = known_classes(cls)
        built = {name: decode(value, arrays, known) for name, value in values.items()}
        refuse_unlike(cls, built)
        origin = manifest["provenance"]
        if origin is not None:
            origin = Provenance.from_json(origin)
        return cls(provenance=origin, **built)
    except Exception as error:  # a file may hold anything that its digest allows
        raise ResultError(
            f"{folder} cannot be read as {class_name(cls)}: {error}. Load it with the version of "
            "elicit that wrote it or recompute the result."
        ) from error
