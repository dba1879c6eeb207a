"""Run directory: a long job that can be killed at any moment and goes on where it stopped."""

import contextlib
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from torch import Tensor

from elicit.results import (
    MANIFEST,
    TEMPORARY,
    DamagedFileWarning,
    Result,
    ResultError,
    RunError,
    clean_text,
    digest_json,
    disk_errors,
    installed_versions,
    plain,
    read_folder,
    read_tensor_bytes,
    write_atomic,
)
from elicit.runs.lock import release_lock, take_lock
from elicit.runs.pack import cell_file, pack_cell, unpack_cell
from elicit.runs.record import (
    CELLS,
    FORMAT,
    RECORD,
    first_difference,
    now,
    read_record,
    record_bytes,
    refuse_foreign,
    remove_outputs,
)

# What makes two runs the same run, in the order in which a difference is reported.
_SAME = ("kind", "arguments", "identity", "elicit")


class RunDirectory:
    """A folder that holds one run: what it is, its finished cells, its results.

    Open it with `open`, best in a `with` block, which also records how the run ended. Everything in
    it except the times in `run.json` is the same bytes whether the run was interrupted or not.

    Attributes:
        path: The folder.
        resumed: Whether an earlier attempt had begun this run.
        n_read: Checkpoint read from disk by this attempt.
        n_computed: Checkpoint computed by this attempt.
        damaged: Files that were truncated, altered or foreign, in the order in which they were met.
    """

    def __init__(self, path: Path, record: dict[str, Any], *, lock_handle: int) -> None:
        """Hold an opened directory; use `RunDirectory.open`."""
        self.path = path
        self.resumed = False
        self.n_read = 0
        self.n_computed = 0
        self.damaged: list[Path] = []
        self._record = record
        self._run = digest_json({name: record[name] for name in _SAME})
        self._lock: int | None = lock_handle
        self._began = time.monotonic()

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        kind: str,
        arguments: Mapping[str, object],
        identity: Mapping[str, object],
        fresh: bool = False,
    ) -> "RunDirectory":
        """Begin a run in a folder, or go on with the one that is there.

        A damaged `run.json` does not stop the run: it is named, written anew, and each cell is
        still held against the arguments and identity in its own header.

        Args:
            path: Made if it is not there. A folder with other files in it is refused.
            kind: What is run, for example "report".
            arguments: Arguments that the values depend on, JSON values only.
            identity: Digests of what the values depend on: weights, problems.
            fresh: Discard an earlier run of any arguments in this folder. Files that no run wrote
                stay, and a folder that holds no run is refused all the same.

        Raises:
            RunError: The folder cannot be written, holds other files or another run, or another
                process is writing it.
        """
        path = Path(path)
        record: dict[str, Any] = {
            "format": FORMAT,
            "kind": kind,
            "arguments": plain(arguments, "arguments"),
            "identity": plain(identity, "identity"),
            "elicit": installed_versions()["elicit"],
            "status": "running",
            "started": now(),
            "finished": None,
            "seconds": None,
            "error": None,
            "outputs": [],
        }
        with disk_errors(path, RunError):
            refuse_foreign(path)
            path.mkdir(parents=True, exist_ok=True)
            handle = take_lock(path)
        try:
            run = cls(path, record, lock_handle=handle)
            run._begin(fresh=fresh)
        except BaseException:
            release_lock(handle)
            raise
        return run

    def _begin(self, *, fresh: bool) -> None:
        """Take over what an earlier attempt left, and prove that the folder can be written."""
        with disk_errors(self.path, RunError):
            for leftover in self.path.rglob(f".*{TEMPORARY}"):
                leftover.unlink(missing_ok=True)
        there = self.path / RECORD
        old = read_record(there) if there.exists() else None
        if there.exists() and old is None:
            self._report(there, "it is not a whole run.json written by elicit")
            self.resumed = not fresh
        if fresh:
            with disk_errors(self.path, RunError):
                remove_outputs(self.path, old)
        elif old is not None:
            self._continue(old)
        with disk_errors(self.path, RunError):
            cells = self.path / CELLS
            cells.mkdir(exist_ok=True)
            # Written before anything is computed: hours later is too late to learn of a full disk.
            probe = cells / f".probe{TEMPORARY}"
            write_atomic(probe, bytes(4096))
            probe.unlink()
        self._write_record()

    def _continue(self, old: dict[str, Any]) -> None:
        """Go on with a run, if it is this one."""
        for name in _SAME:
            found = first_difference(old.get(name), self._record[name], name)
            if found:
                place, was, now_is = found
                raise RunError(
                    f"{self.path} holds a run with {place} = {was}, and this run has {place} = "
                    f"{now_is}, so their values must not be mixed. Pass another folder, or pass "
                    "fresh=True to discard the run that is there."
                )
        self.resumed = True
        self._record["started"] = old["started"]
        self._record["outputs"] = old["outputs"]

    def get_or_compute(
        self, key: str, compute: Callable[[], Mapping[str, Tensor | np.ndarray]]
    ) -> dict[str, Tensor]:
        """Values of one part of the run: read if they are on disk and whole, else computed.

        Args:
            key: Name of the part; the same key gives the same values for the whole run.
            compute: Called when the values are not on disk. Its arrays come back as CPU tensors,
                the same bytes whether they were read or computed.

        Raises:
            RunError: The run is over, or the disk is full.
            ResultError: `compute` gave something that has no plain bytes.
        """
        path = self.path / CELLS / cell_file(key)
        self._refuse_closed(path)
        if path.exists():
            try:
                values = unpack_cell(path.read_bytes(), key=key, run=self._run)
            except (ResultError, OSError) as error:
                self._report(path, str(error))
            else:
                self.n_read += 1
                return values
        data = pack_cell(compute(), key=key, run=self._run)
        with disk_errors(path, RunError):
            write_atomic(path, data)
        self.n_computed += 1
        return read_tensor_bytes(data)[0]

    def save_result(self, name: str, result: Result) -> Path:
        """Save a result in a folder of the run.

        Args:
            name: Name of the folder within the run directory.
            result: Saved as `Result.save` does.

        Raises:
            RunError: The name is not a plain one, the run is over, or the disk is full.
            ResultError: The result holds something that cannot be stored.
        """
        folder = self._claim(name)
        if (folder / MANIFEST).exists():
            try:
                read_folder(folder)
            except ResultError as error:
                self._report(folder, str(error))
        with disk_errors(folder, RunError):
            try:
                return result.save(folder)
            except ResultError as error:
                # The disk, not the result, is at fault: said in the words of the run.
                if isinstance(error.__cause__, OSError):
                    raise error.__cause__ from None
                raise

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file of the run, for example a page or a summary.

        Args:
            name: File name within the run directory.
            text: Written as UTF-8; a lone surrogate becomes its escape.

        Raises:
            RunError: The name is not a plain one, the run is over, or the disk is full.
        """
        return self.write_bytes(name, clean_text(text).encode("utf-8"))

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write a file of the run as it is, for example one that another program reads.

        Args:
            name: File name within the run directory.
            data: Its content.

        Raises:
            RunError: The name is not a plain one, the run is over, or the disk is full.
        """
        path = self._claim(name)
        with disk_errors(path, RunError):
            write_atomic(path, data)
        return path

    def finish(self) -> None:
        """Record that the run is complete and let others use the folder.

        Raises:
            RunError: The run is over already, or the disk is full.
        """
        self._refuse_closed(self.path)
        self._end("finished", None)

    def __enter__(self) -> "RunDirectory":
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

    def _claim(self, name: str) -> Path:
        """Path for an output, noted in `run.json` first so that `fresh` can remove it."""
        self._refuse_closed(self.path / name)
        if not name or Path(name).name != name or name.startswith(".") or name in (RECORD, CELLS):
            raise RunError(
                f"The output name {name!r} is not one plain name inside {self.path}, or it is one "
                "that the run itself uses, so writing it could destroy other files. Use a name "
                "like 'report.html'."
            )
        if name not in self._record["outputs"]:
            self._record["outputs"] = sorted([*self._record["outputs"], name])
            self._write_record()
        return self.path / name

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
            f"{path} is damaged or foreign: {why}. It is not used and is made anew.",
            DamagedFileWarning,
            stacklevel=3,
        )
