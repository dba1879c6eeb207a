"""Results as xarray data sets: arrays whose axes have names and labels."""

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from elicit.results.axes import schema, value_at
from elicit.results.columns import axis_sizes, columns
from elicit.results.descriptions import captions
from elicit.results.errors import ResultError
from elicit.results.store import clean_text

if TYPE_CHECKING:
    import xarray


def to_xarray(result: Any) -> "xarray.Dataset":
    """A result as a data set: one variable per array, its labels as coordinates.

    Variables and coordinates have their description, the data set has the class, its title, single
    values and where the numbers come from (`provenance`, JSON).

    Args:
        result: Any result.

    Raises:
        ResultError: The package `xarray` is not installed.
    """
    try:
        import xarray
    except ImportError as error:
        raise ResultError(
            "to_xarray needs the package xarray, which is not installed, so there is no data set. "
            "Run: python -m pip install 'elicit-interp[xarray]', or use to_frame()."
        ) from error
    told, described = schema(type(result)), captions(type(result))
    variables = {}
    for array in told.arrays:
        value = value_at(result, array.name)
        if value is None or array.axes == (array.column,):
            continue
        table = columns(result, array.axes)
        flat = table[array.column]
        shaped = flat.reshape(tuple(value.shape))
        note = described.get(array.column, "")
        variables[array.column] = (array.axes, shaped, {"description": note} if note else {})
    sizes = axis_sizes(result)
    coordinates = {}
    for axis in sizes:
        label = columns(result, (axis,))[axis] if axis in told.labels else np.arange(sizes[axis])
        note = described.get(axis, "")
        # Texts as numpy's own, which every file format of xarray can hold.
        label = label.astype(str) if label.dtype == object else label
        coordinates[axis] = (axis, label, {"description": note} if note else {})
    return xarray.Dataset(variables, coordinates, _attributes(result, told.scalars))


def _attributes(result: Any, scalars: tuple[str, ...]) -> dict[str, object]:
    """Single values, in types that every file format of xarray can hold."""
    cls = type(result)
    found: dict[str, object] = {"class": f"{cls.__module__}.{cls.__qualname__}"}
    if result._title():
        found["title"] = result._title()
    for name in scalars:
        value = value_at(result, name)
        if isinstance(value, bool | np.bool_):
            found[name] = int(value)
        elif isinstance(value, int | float | np.number):
            found[name] = value
        elif isinstance(value, str):
            found[name] = clean_text(value)
    by_name = {item.name: getattr(result, item.name) for item in fields(result)}
    for name, value in by_name.items():
        labels = isinstance(value, tuple) and name not in schema(cls).labels
        if labels and all(isinstance(item, str | None) for item in value):
            found[name] = json.dumps(value)
    if result.provenance is not None:
        found["provenance"] = json.dumps(result.provenance.to_json(), sort_keys=True)
    return found
