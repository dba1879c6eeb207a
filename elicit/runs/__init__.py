"""Runs: a directory that a killed job resumes from, and how a question is executed.

The protocols of progress and checkpoint cost nothing to import; the run directory needs torch and
loads when it is first used.
"""

from typing import TYPE_CHECKING

from elicit.results import DamagedFileWarning, RunError, lazily
from elicit.runs.progress import Announcing, NoProgress, Progress

if TYPE_CHECKING:
    from elicit.runs.checkpoint import Checkpoint, NoCheckpoint, ScopedCheckpoint
    from elicit.runs.directory import RunDirectory
    from elicit.runs.execution import Execution
    from elicit.runs.lease import Lease, leased
    from elicit.runs.lock import LOCK, release_lock, take_lock
    from elicit.runs.mirror import Mirror, mirrored
    from elicit.runs.owned import refuse_foreign, refuse_kind, remove_leftovers
    from elicit.runs.pack import cell_file, pack_cell
    from elicit.runs.record import FORMAT, first_difference, read_record, record_bytes
    from elicit.runs.remote import RemoteFolder

__all__ = [
    "LOCK",
    "release_lock",
    "take_lock",
    "FORMAT",
    "Announcing",
    "Checkpoint",
    "DamagedFileWarning",
    "Execution",
    "Lease",
    "Mirror",
    "NoCheckpoint",
    "NoProgress",
    "Progress",
    "RemoteFolder",
    "RunDirectory",
    "RunError",
    "ScopedCheckpoint",
    "cell_file",
    "first_difference",
    "leased",
    "mirrored",
    "pack_cell",
    "read_record",
    "record_bytes",
    "refuse_foreign",
    "refuse_kind",
    "remove_leftovers",
]

__getattr__ = lazily(__name__, __file__)
