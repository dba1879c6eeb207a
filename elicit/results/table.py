"""Tables as parquet: the same bytes for the same columns, in every process."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from elicit.results.columns import columns, frame_axes
from elicit.results.descriptions import captions
from elicit.results.store import clean_text


def parquet_bytes(table: Mapping[str, np.ndarray], described: Mapping[str, str]) -> bytes:
    """Parquet file of some columns, each with its description in the file's schema."""
    import pyarrow
    import pyarrow.parquet

    arrays, columns = [], []
    for name, values in table.items():
        array = pyarrow.array(values.tolist() if values.dtype == object else values)
        told = {"description": clean_text(described[name])} if name in described else None
        arrays.append(array)
        columns.append(pyarrow.field(name, array.type, metadata=told))
    # Built from arrays, not from pandas, whose metadata would name its version in every file.
    made = pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(columns))
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(made, sink, compression="zstd", version="2.6")
    return sink.getvalue().to_pybytes()


def table_bytes(result: Any) -> dict[tuple[str, ...], bytes]:
    """Parquet file of each table of a result, by the axes whose points are its rows.

    Args:
        result: Any result.
    """
    described = captions(type(result))
    return {axes: parquet_bytes(columns(result, axes), described) for axes in frame_axes(result)}
