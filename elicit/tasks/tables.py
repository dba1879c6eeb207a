"""Tables of problems: CSV and parquet files, DataFrames."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from elicit.tasks.cells import cells
from elicit.tasks.faults import TaskError
from elicit.tasks.jsonl import read_file
from elicit.tasks.records import Frame, Record, Records

SEPARATORS = {".csv": ",", ".tsv": "\t"}
"""Separator of cells by the ending of a file."""
PARQUET = (".parquet", ".pq")
"""Endings of parquet files."""
_LARGEST_CELL = 2**27


def of_rows(
    rows: Iterable[Mapping[str, object]], *, origin: str, name: str, unit: str = "row"
) -> Records:
    """Records of a table's rows; columns that JSON has no word for are left out with a note.

    Args:
        rows: Cells by column.
        origin: What messages call the table.
        name: What a task of it is called.
        unit: What a row is called.
    """
    records: list[Record] = []
    dropped: dict[str, None] = {}
    for number, row in enumerate(rows, start=1):
        values, left_out = cells(row)
        dropped.update(dict.fromkeys(left_out))
        records.append(Record(where=f"{unit} {number}", id=str(number), values=values))
    note = f"{origin}: columns that are neither text nor numbers were left out: "
    notes = (f"{note}{', '.join(dropped)}.",) if dropped else ()
    return Records(origin=origin, name=name, unit=unit, rows=tuple(records), notes=notes)


def of_frame(frame: Frame) -> Records:
    """Records of a DataFrame, called by their row from 1 on.

    Raises:
        TaskError: Two columns have one name.
    """
    names = [str(name) for name in frame.columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TaskError(
            f"the DataFrame has two columns {twice!r}, so one would hide the other. Rename one."
        )
    return of_rows(frame.to_dict("records"), origin="the DataFrame", name="frame")


def of_csv(path: Path) -> Records:
    """Records of a CSV or TSV file with a header line, called by the line on which they begin.

    Raises:
        TaskError: The file cannot be read, has no header, or a row has more cells than the header.
    """
    data = read_file(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TaskError(
            f"{path}: line {line} is not UTF-8 (byte 0x{data[error.start]:02x}), so its text "
            "cannot be known. Save the file as UTF-8."
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=SEPARATORS[path.suffix.lower()])
    before = csv.field_size_limit(_LARGEST_CELL)
    try:
        lines = _lines(reader)
    except csv.Error as error:
        raise TaskError(
            f"{path}: line {reader.line_num} is no line of a table ({error}). Put quotes around "
            "cells with line breaks, and double the quotes inside."
        ) from error
    finally:
        csv.field_size_limit(before)
    if not lines:
        raise TaskError(f"{path} is empty, so it has no problems. Begin it with a line of names.")
    header = [name.strip() for name in lines[0][1]]
    repeated = next((name for name in header if header.count(name) > 1), None)
    if repeated is not None or not all(header):
        what = "an empty name" if repeated in (None, "") else f"the name {repeated!r} twice"
        raise TaskError(
            f"{path}: the header has {what} ({', '.join(map(repr, header))}), so cells could not "
            "be told apart. Name every column once, on the first line."
        )
    rows = []
    for number, row in lines[1:]:
        if not any(cell.strip() for cell in row):
            continue
        faults = []
        if len(row) != len(header):
            what = f"it has {len(row)} cells and the header has {len(header)}"
            faults.append((what, "Put quotes around cells that hold the separator"))
        values, _ = cells(dict(zip(header, row, strict=False)))
        where = f"line {number}"
        rows.append(
            Record(where=where, id=str(number), values=None if faults else values, faults=faults)
        )
    return Records(origin=str(path), name=path.stem, unit="line", rows=tuple(rows))


def of_parquet(path: Path) -> Records:
    """Records of a parquet file, called by their row from 1 on.

    Raises:
        TaskError: The file cannot be read.
    """
    import pyarrow
    import pyarrow.parquet

    data = read_file(path)
    try:
        table: Any = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
    except (pyarrow.ArrowException, OSError) as error:
        why = str(error).splitlines()[0][:200]
        raise TaskError(
            f"{path} cannot be read as parquet ({why}), so there are no problems to run. Write it "
            "again, or pass a JSONL file."
        ) from error
    return of_rows(table.to_pylist(), origin=str(path), name=path.stem)


def _lines(reader: Any) -> list[tuple[int, list[str]]]:
    """Every row with the line on which it begins."""
    found = []
    begins = 1
    for row in reader:
        found.append((begins, row))
        begins = reader.line_num + 1
    return found
