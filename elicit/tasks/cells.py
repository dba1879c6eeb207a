"""Cells of tables as values of fields: a column has one type, whatever the field would be."""

import datetime
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_TEXTS = ("id", "prompt", "answer", "trace", "question", "problem", "solution", "wrong")
_LISTS = ("candidates", "choices", "messages", "edited")


def cells(row: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """A row of a table as a record, without its empty cells, and the columns it had to leave out.

    Numbers in columns of text become text, lists written as JSON become lists, numbers written as
    text become numbers where a difficulty is meant.
    """
    values: dict[str, object] = {}
    left_out = []
    for name, cell in row.items():
        try:
            value = _plain(cell)
        except TypeError:
            left_out.append(str(name))
            continue
        if value is not None and value != "":
            values[str(name)] = _typed(str(name), value)
    return values, left_out


def _typed(name: str, value: Any) -> object:
    if name in _TEXTS and isinstance(value, int | float) and not isinstance(value, bool):
        whole = isinstance(value, float) and value.is_integer()
        return str(int(value) if whole else value)
    if name in _LISTS and isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    if name == "difficulty" and isinstance(value, str):
        for read in (int, float):
            try:
                number = read(value)
            except ValueError:
                continue
            return number if math.isfinite(number) else value
    return value


def _plain(cell: Any) -> Any:
    """A cell as JSON has it; None if it is empty.

    Raises:
        TypeError: JSON has nothing like it.
    """
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, np.generic):
        cell = cell.item()
    if cell is None or isinstance(cell, bool | int | str):
        return cell
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    if isinstance(cell, datetime.date | datetime.time):
        # A missing time is of this type too, and the only one unlike itself.
        return cell.isoformat() if cell == cell else None
    if isinstance(cell, list | tuple):
        return [_plain(item) for item in cell]
    if isinstance(cell, Mapping):
        return {str(key): _plain(item) for key, item in cell.items()}
    if type(cell).__name__ in ("NAType", "NaTType"):
        return None
    if type(cell).__name__ == "Decimal":
        return float(cell)
    raise TypeError(type(cell).__name__)
