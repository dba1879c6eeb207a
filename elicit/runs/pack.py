"""Cells: parts of a run on disk, each able to tell whether it is what it claims to be."""

import hashlib
import re
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from elicit.results import ResultError, as_tensor, digest_tensors, read_tensor_bytes, tensor_bytes


def cell_file(key: str) -> str:
    """File name of a cell: readable, safe on every file system, and different for each key."""
    readable = re.sub(r"[^A-Za-z0-9._=-]+", "_", key)[:60].strip("._")
    # The digest keeps apart keys that differ in case or in a character a file name cannot have.
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{readable or 'cell'}-{digest}.safetensors"


def pack_cell(values: Mapping[str, Tensor | np.ndarray], *, key: str, run: str) -> bytes:
    """Bytes of a cell, with its key, its run and a digest of its values in the header.

    Args:
        values: Named arrays.
        key: Name of the cell within its run.
        run: Digest of what identifies the run.

    Raises:
        ResultError: A value has no plain bytes.
    """
    tensors = {name: as_tensor(value, f"{key}: {name}") for name, value in values.items()}
    return tensor_bytes(tensors, {"key": key, "run": run, "digest": digest_tensors(tensors)})


def unpack_cell(data: bytes, *, key: str, run: str) -> dict[str, Tensor]:
    """Values of a cell, if it is whole and is this cell of this run.

    Raises:
        ResultError: The bytes are no whole cell, or one of another key or run.
    """
    tensors, metadata = read_tensor_bytes(data)
    if metadata.get("digest") != digest_tensors(tensors):
        raise ResultError("its values do not have the digest in its header")
    if metadata.get("key") != key:
        raise ResultError(f"it holds the cell {metadata.get('key')!r}, not {key!r}")
    if metadata.get("run") != run:
        raise ResultError("it belongs to a run with other arguments or other models")
    return tensors
