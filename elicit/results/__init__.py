"""Results: what every measurement leaves behind, in memory and on disk.

The errors load at once and cost nothing; whatever needs torch loads when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

from elicit.results.errors import DamagedFileWarning, ElicitError, ResultError, RunError

if TYPE_CHECKING:
    from elicit.results.axes import axis_sizes
    from elicit.results.base import Result, load_result
    from elicit.results.codec import encode
    from elicit.results.estimate import Estimate
    from elicit.results.folder import MANIFEST, TABLE, VALUES, read_folder
    from elicit.results.provenance import (
        ModelId,
        Provenance,
        installed_versions,
        matmul_precision,
        surrounded,
        surroundings,
    )
    from elicit.results.store import (
        TEMPORARY,
        as_tensor,
        canonical_json,
        clean_text,
        digest_json,
        digest_tensors,
        disk_errors,
        plain,
        read_tensor_bytes,
        sha256_file,
        tensor_bytes,
        write_atomic,
    )

__all__ = [
    "DamagedFileWarning",
    "ElicitError",
    "Estimate",
    "MANIFEST",
    "ModelId",
    "Provenance",
    "Result",
    "ResultError",
    "RunError",
    "TABLE",
    "TEMPORARY",
    "VALUES",
    "as_tensor",
    "axis_sizes",
    "canonical_json",
    "clean_text",
    "digest_json",
    "digest_tensors",
    "disk_errors",
    "encode",
    "installed_versions",
    "load_result",
    "matmul_precision",
    "plain",
    "read_folder",
    "read_tensor_bytes",
    "sha256_file",
    "surrounded",
    "surroundings",
    "tensor_bytes",
    "write_atomic",
]

_HOMES = {
    "Estimate": "estimate",
    "MANIFEST": "folder",
    "ModelId": "provenance",
    "Provenance": "provenance",
    "Result": "base",
    "TABLE": "folder",
    "TEMPORARY": "store",
    "VALUES": "folder",
    "as_tensor": "store",
    "axis_sizes": "axes",
    "canonical_json": "store",
    "clean_text": "store",
    "digest_json": "store",
    "digest_tensors": "store",
    "disk_errors": "store",
    "encode": "codec",
    "installed_versions": "provenance",
    "load_result": "base",
    "matmul_precision": "provenance",
    "plain": "store",
    "read_folder": "folder",
    "read_tensor_bytes": "store",
    "sha256_file": "store",
    "surrounded": "provenance",
    "surroundings": "provenance",
    "tensor_bytes": "store",
    "write_atomic": "store",
}


def __getattr__(name: str) -> object:
    """Load the module that holds `name` when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
