"""Tables of a result: which axes need one, and its columns."""

from typing import Any

import numpy as np
from torch import Tensor

from elicit.results.axes import schema, value_at
from elicit.results.store import clean_text


def axis_sizes(result: object) -> dict[str, int]:
    """Size of each axis that a present array has."""
    sizes: dict[str, int] = {}
    for array in schema(type(result)).arrays:
        value = value_at(result, array.name)
        if value is not None:
            sizes.update(zip(array.axes, map(int, value.shape), strict=True))
    return sizes


def frame_axes(result: object) -> list[tuple[str, ...]]:
    """Axes of each table a result needs: those that no other array's axes contain."""
    present = [
        array.axes
        for array in schema(type(result)).arrays
        if value_at(result, array.name) is not None
    ]
    kept: list[tuple[str, ...]] = []
    for axes in present:
        inside_other = any(set(axes) < set(other) for other in present)
        if not inside_other and all(set(axes) != set(other) for other in kept):
            kept.append(axes)
    return kept or [()]


def columns(
    result: object, axes: tuple[str, ...], *, limit: int | None = None
) -> dict[str, np.ndarray]:
    """Columns of the long table over `axes`: first the axes, then every value that lives on them.

    `axes`: axes whose every combination is a row; the last one runs fastest.
    """
    told = schema(type(result))
    sizes = axis_sizes(result)
    shape = tuple(sizes[axis] for axis in axes)
    n_rows = int(np.prod(shape, dtype=np.int64))
    rows = np.arange(n_rows if limit is None else min(n_rows, limit))
    places = np.unravel_index(rows, shape) if axes and n_rows else [rows] * len(axes)
    index = dict(zip(axes, places, strict=True))
    table: dict[str, np.ndarray] = {}
    for axis in axes:
        label = value_at(result, axis) if axis in told.labels else None
        table[axis] = index[axis] if label is None else _flat(label)[index[axis]]
    for array in told.arrays:
        value = value_at(result, array.name)
        if value is not None and array.column not in table and set(array.axes) <= set(axes):
            picked = _flat(value)[tuple(index[axis] for axis in array.axes)]
            table[array.column] = np.ascontiguousarray(np.broadcast_to(picked, rows.shape))
    for name in told.scalars:
        value = value_at(result, name)
        if isinstance(value, bool | int | float | np.bool_ | np.number):
            table[name] = np.full(rows.shape, value)
        elif isinstance(value, str):
            table[name] = np.full(rows.shape, clean_text(value), dtype=object)
    return table


def _flat(value: Any) -> np.ndarray:
    """Numpy array with the values of a tensor, an array or a tuple of labels."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float32) if value.dtype == np.float16 else value
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        # numpy has no bfloat16 and no 8-bit floats; float32 holds each of their values exactly.
        short = value.dtype.is_floating_point and value.dtype.itemsize <= 2
        return (value.float() if short else value).resolve_neg().numpy()
    same = {type(item) for item in value}
    if same in ({int}, {float}):
        return np.array(value)
    return np.array([clean_text(str(item)) for item in value], dtype=object)
