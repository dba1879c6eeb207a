"""Results: what every measurement leaves behind, in memory and on disk.

The errors load at once and cost nothing; whatever needs torch loads when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

from elicit.results.errors import DamagedFileWarning, ElicitError, ResultError, RunError

if TYPE_CHECKING:
    from elicit.results.base import Result, load_result
    from elicit.results.estimate import Estimate
    from elicit.results.provenance import ModelId, Provenance, installed_versions
    from elicit.results.store import (
        canonical_json,
        digest_json,
        digest_tensors,
        sha256_file,
        write_atomic,
    )

__all__ = [
    "DamagedFileWarning",
    "ElicitError",
    "Estimate",
    "ModelId",
    "Provenance",
    "Result",
    "ResultError",
    "RunError",
    "canonical_json",
    "digest_json",
    "digest_tensors",
    "installed_versions",
    "load_result",
    "sha256_file",
    "write_atomic",
]

_HOMES = {
    "Estimate": "estimate",
    "ModelId": "provenance",
    "Provenance": "provenance",
    "Result": "base",
    "canonical_json": "store",
    "digest_json": "store",
    "digest_tensors": "store",
    "installed_versions": "provenance",
    "load_result": "base",
    "sha256_file": "store",
    "write_atomic": "store",
}


def __getattr__(name: str) -> object:
    """Load the module that holds `name` when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
