"""Records: what a file, a table or a data set holds before it is problems."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from elicit.tasks.faults import Fault, TaskError, shown

Told = list[tuple[str, str]]
"""What is wrong with a record and what to do about it, in pairs."""


@runtime_checkable
class Frame(Protocol):
    """A table such as a pandas DataFrame."""

    @property
    def columns(self) -> Any:
        """Names of its columns."""
        ...

    def to_dict(self, orient: Any) -> Any:
        """Its rows, for `orient="records"`."""
        ...


@runtime_checkable
class RowSet(Protocol):
    """A data set such as that of Hugging Face `datasets`."""

    @property
    def column_names(self) -> Any:
        """Names of its columns."""
        ...

    def __len__(self) -> int:
        """Number of rows."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Its rows as mappings."""
        ...


Source = str | Path | Sequence[Mapping[str, object]] | Frame | RowSet
"""Where problems come from; see `load_task`."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One problem to be, with the place a person would look for it."""

    where: str
    """Such as `line 3` or `row 3`."""
    id: str
    """What it is called if it does not say so itself."""
    values: dict[str, object] | None
    """What it holds; None if nothing can be made of it."""
    faults: Told = field(default_factory=list)
    """What is already known to be wrong with it."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """Everything that a source holds."""

    origin: str
    """What messages call the source."""
    name: str
    """What a task of them is called."""
    unit: str
    """What its places are called, such as `line`."""
    rows: tuple[Record, ...]
    """The records, in their order."""
    notes: tuple[str, ...] = ()
    """Remarks on how they were read."""

    def __len__(self) -> int:
        """Number of records."""
        return len(self.rows)

    @property
    def label(self) -> str:
        """What remarks call the source: the name of a file without its folder."""
        is_file = self.unit in ("line", "row", "sample") and not self.origin.startswith("hf:")
        return Path(self.origin).name if is_file else self.origin

    def columns(self) -> tuple[str, ...]:
        """Every key that some record has, in order of appearance."""
        return tuple(dict.fromkeys(key for row in self.rows for key in row.values or ()))

    def refuse(self, wrong: Sequence[Fault]) -> None:
        """Refuse to go on if anything is wrong.

        Raises:
            TaskError: Something is; all of it is listed.
        """
        if wrong:
            n_bad = len({fault.where for fault in wrong})
            raise TaskError(
                f"{self.origin}: {n_bad} of {len(self)} {self.unit}s hold no usable problem, so "
                "nothing was run:",
                wrong,
            )


def numbered(
    values: Sequence[dict[str, object] | None], unit: str, *, first: int = 1
) -> tuple[Record, ...]:
    """Records called by their number.

    Args:
        values: What each holds.
        unit: What a place is called.
        first: Number of the first.
    """
    return tuple(
        Record(where=f"{unit} {number}", id=str(number), values=held)
        for number, held in enumerate(values, start=first)
    )


def of_mappings(source: Sequence[object]) -> Records:
    """Records that are already in memory, one mapping each.

    Args:
        source: Mappings of field names to values.
    """
    rows = []
    for number, item in enumerate(source, start=1):
        faults: Told = []
        values = dict(item) if isinstance(item, Mapping) else None
        if values is None:
            faults.append((f"it is {shown(item)}, no mapping", "Pass a dict with the fields"))
        elif not all(isinstance(key, str) for key in values):
            odd = next(key for key in values if not isinstance(key, str))
            faults.append((f"it has the key {shown(odd)}, no string", "Name fields by strings"))
        rows.append(
            Record(
                where=f"record {number}",
                id=str(number),
                values=None if faults else values,
                faults=faults,
            )
        )
    return Records(origin="the records", name="records", unit="record", rows=tuple(rows))
