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
    from elicit.results.disk import (
        TEMPORARY,
        disk_errors,
        is_plain_name,
        kind_of,
        parse_json,
        read_file,
        sha256_file,
        write_atomic,
    )
    from elicit.results.estimate import Estimate
    from elicit.results.folder import (
        MANIFEST,
        TABLE,
        VALUES,
        read_folder,
        result_files,
        write_files,
    )
    from elicit.results.provenance import ModelId, Provenance, installed_versions
    from elicit.results.store import (
        as_tensor,
        canonical_json,
        clean_text,
        digest_json,
        digest_tensors,
        plain,
        read_tensor_bytes,
        tensor_bytes,
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
    "is_plain_name",
    "kind_of",
    "parse_json",
    "read_file",
    "load_result",
    "plain",
    "read_folder",
    "read_tensor_bytes",
    "result_files",
    "sha256_file",
    "tensor_bytes",
    "write_atomic",
    "write_files",
]

_HOMES = {
    "Estimate": "estimate",
    "MANIFEST": "folder",
    "ModelId": "provenance",
    "Provenance": "provenance",
    "Result": "base",
    "TABLE": "folder",
    "TEMPORARY": "disk",
    "VALUES": "folder",
    "as_tensor": "store",
    "axis_sizes": "axes",
    "canonical_json": "store",
    "clean_text": "store",
    "digest_json": "store",
    "digest_tensors": "store",
    "disk_errors": "disk",
    "encode": "codec",
    "installed_versions": "provenance",
    "is_plain_name": "disk",
    "kind_of": "disk",
    "parse_json": "disk",
    "read_file": "disk",
    "load_result": "base",
    "plain": "store",
    "read_folder": "folder",
    "read_tensor_bytes": "store",
    "result_files": "folder",
    "sha256_file": "disk",
    "tensor_bytes": "store",
    "write_atomic": "disk",
    "write_files": "folder",
}


def __getattr__(name: str) -> object:
    """Load the module that holds `name` when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
