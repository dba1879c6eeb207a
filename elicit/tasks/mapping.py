"""Names of columns as names of fields: `question=prompt`."""

import difflib
from collections.abc import Mapping
from dataclasses import replace

from elicit.tasks.faults import TaskError
from elicit.tasks.records import Record, Records

Columns = Mapping[str, str] | str | None
"""Field of each column, or the same as text: `question=prompt,target=answer`."""


def parse_map(columns: Columns) -> dict[str, str]:
    """Fields by column.

    Args:
        columns: A mapping, or `COLUMN=FIELD` with commas between.

    Raises:
        TaskError: It has another form, or names a column or a field twice.
    """
    if columns is None:
        return {}
    if isinstance(columns, str):
        pairs = [part.partition("=") for part in columns.split(",") if part.strip()]
        wrong = next(("".join(part) for part in pairs if not part[0].strip()
                      or not part[2].strip()), None)  # fmt: skip
        if wrong is not None:
            raise TaskError(
                f"map has {wrong.strip()!r}, which does not name a column and a field, so it is "
                "not clear what to read. Write map='question=prompt,target=answer'."
            )
        given = [(column.strip(), field.strip()) for column, _, field in pairs]
    else:
        given = list(columns.items())
    for place, what in ((0, "column"), (1, "field")):
        names = [pair[place] for pair in given]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise TaskError(
                f"map names the {what} {twice!r} twice, so it is not clear which to read. Keep one."
            )
    return dict(given)


def mapped(records: Records, columns: Columns) -> Records:
    """Records whose columns have the names of fields.

    A column that is mapped onto a field takes the place of one that was called so.

    Args:
        records: As they were read.
        columns: Which column is which field.

    Raises:
        TaskError: No record has a column that is named.
    """
    names = parse_map(columns)
    if not names:
        return records
    present = records.columns()
    for column in names:
        if column not in present and len(records):
            close = difflib.get_close_matches(column, present, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise TaskError(
                f"map names the column {column!r}, which {records.origin} does not have: it has "
                f"{', '.join(map(repr, present)) or 'none'}.{meant} Name one of these."
            )
    return replace(records, rows=tuple(_renamed(row, names) for row in records.rows))


def _renamed(row: Record, names: Mapping[str, str]) -> Record:
    if row.values is None:
        return row
    taken = {field for column, field in names.items() if column in row.values}
    kept = {
        names.get(column, column): value
        for column, value in row.values.items()
        if column in names or column not in taken
    }
    return replace(row, values=kept)
