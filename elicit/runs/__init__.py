"""Runs: a directory that a killed job resumes from, and how a question is executed.

The protocols of progress and checkpoint cost nothing to import; the run directory needs torch and
loads when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

from elicit.results import DamagedFileWarning, RunError
from elicit.runs.progress import Announcing, NoProgress, Progress

if TYPE_CHECKING:
    from elicit.runs.checkpoint import Checkpoint, NoCheckpoint, ScopedCheckpoint
    from elicit.runs.directory import RunDirectory
    from elicit.runs.execution import Execution
    from elicit.runs.lock import LOCK, release_lock, take_lock
    from elicit.runs.pack import cell_file, pack_cell
    from elicit.runs.record import (
        FORMAT,
        first_difference,
        read_record,
        record_bytes,
        refuse_foreign,
    )

__all__ = [
    "LOCK",
    "release_lock",
    "take_lock",
    "FORMAT",
    "Announcing",
    "Checkpoint",
    "DamagedFileWarning",
    "Execution",
    "NoCheckpoint",
    "NoProgress",
    "Progress",
    "RunDirectory",
    "RunError",
    "ScopedCheckpoint",
    "cell_file",
    "first_difference",
    "pack_cell",
    "read_record",
    "record_bytes",
    "refuse_foreign",
]

_HOMES = {
    "LOCK": "lock",
    "release_lock": "lock",
    "take_lock": "lock",
    "FORMAT": "record",
    "Checkpoint": "checkpoint",
    "Execution": "execution",
    "NoCheckpoint": "checkpoint",
    "RunDirectory": "directory",
    "ScopedCheckpoint": "checkpoint",
    "cell_file": "pack",
    "first_difference": "record",
    "pack_cell": "pack",
    "read_record": "record",
    "record_bytes": "record",
    "refuse_foreign": "record",
}


def __getattr__(name: str) -> object:
    """Load the module that holds `name` when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
