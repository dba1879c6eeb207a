"""A run while it is open: its lock, its record, and how it ended."""

import contextlib
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from elicit.results import DamagedFileWarning, RunError, digest_json, disk_errors, write_atomic
from elicit.runs.lock import release_lock
from elicit.runs.record import RECORD, now, record_bytes, same_run

R = TypeVar("R", bound="OpenRun")


class OpenRun:
    """A folder that one process writes; use `RunDirectory.open`."""

    def __init__(self, path: Path, record: dict[str, Any], *, lock_handle: int) -> None:
        """Hold an opened directory."""
        self.path = path
        self.resumed = False
        self.n_read = 0
        self.n_computed = 0
        self.damaged: list[Path] = []
        # Outputs of an earlier run that may be replaced; None where its record was damaged.
        self._known: frozenset[str] | None = frozenset()
        self._record = record
        self._run = digest_json(same_run(record))
        self._lock: int | None = lock_handle
        self._began = time.monotonic()

    def finish(self) -> None:
        """Record that the run is complete and let others use the folder.

        Raises:
            RunError: The run is over already, or the disk is full.
        """
        self._refuse_closed(self.path)
        self._end("finished", None)

    def __enter__(self: R) -> R:
        """Use the run in a block that records how it ended."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Record the end: finished, failed, or interrupted by hand."""
        if self._lock is None:
            return
        if error is None:
            self._end("finished", None)
            return
        status = "failed" if isinstance(error, Exception) else "interrupted"
        # The error that ended the run matters more than one about writing it down.
        with contextlib.suppress(RunError):
            self._end(status, f"{type(error).__name__}: {error}")

    def _end(self, status: str, error: str | None) -> None:
        """Write the last record and give the lock back."""
        self._record |= {
            "status": status,
            "finished": now(),
            "seconds": round(time.monotonic() - self._began, 3),
            "error": error,
        }
        try:
            self._write_record()
        finally:
            if self._lock is not None:
                release_lock(self._lock)
            self._lock = None

    def _write_record(self) -> None:
        """Write `run.json`."""
        path = self.path / RECORD
        with disk_errors(path, RunError):
            write_atomic(path, record_bytes(self._record))

    def _refuse_closed(self, path: Path) -> None:
        """Refuse to write once the lock is given back."""
        if self._lock is None:
            raise RunError(
                f"The run in {self.path} is over ({self._record['status']}) and {path.name} was "
                "asked of it, so another process may be writing there. Open it again."
            )

    def _report(self, path: Path, why: str) -> None:
        """Name a file that is not what it should be."""
        self.damaged.append(path)
        warnings.warn(
            f"{path} is damaged or foreign: {why}. It is not used and is recomputed.",
            DamagedFileWarning,
            stacklevel=3,
        )
