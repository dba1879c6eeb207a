"""Run directory: a long job that can be killed at any moment and goes on where it stopped."""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from elicit.results import (
    MANIFEST,
    TEMPORARY,
    Result,
    ResultError,
    RunError,
    clean_text,
    disk_errors,
    kind_of,
    read_file,
    read_folder,
    read_tensor_bytes,
    result_files,
    write_atomic,
    write_files,
)
from elicit.runs._open_run import OpenRun
from elicit.runs.lock import release_lock, take_lock
from elicit.runs.owned import (
    check_output,
    refuse_foreign,
    refuse_kind,
    remove_leftovers,
    remove_outputs,
)
from elicit.runs.pack import cell_file, pack_cell, unpack_cell
from elicit.runs.record import CELLS, RECORD, is_output, new_record, read_run, refuse_other


class RunDirectory(OpenRun):
    """A folder that holds one run: what it is, its finished cells, its results.

    Open it with `open`, best in a `with` block, which also records how the run ended. Everything in
    it except the times in `run.json` is the same bytes whether the run was interrupted or not.
    Nothing outside it is written or removed, and nothing in it that no run recorded writing.

    Attributes:
        path: The folder.
        resumed: Whether an earlier attempt had begun this run.
        n_read: Checkpoint read from disk by this attempt.
        n_computed: Checkpoint computed by this attempt.
        damaged: Files that were truncated, altered or foreign, in the order in which they were met.
    """

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
            RunError: The folder cannot be written, holds other files, links or another run, or
                another process is writing it.
        """
        path = Path(path)
        record = new_record(kind, arguments, identity)
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
        there = self.path / RECORD
        old = read_run(there) if there.exists() else None
        if there.exists() and old is None:
            self._report(there, "it is not a whole run.json written by elicit")
            self.resumed, self._known = not fresh, None
        if old is not None:
            self._known = frozenset(old["outputs"])
            if not fresh:
                self._continue(old)
        with disk_errors(self.path, RunError):
            remove_leftovers(self.path, old)
            if fresh:
                remove_outputs(self.path, old)
            cells = self.path / CELLS
            cells.mkdir(exist_ok=True)
            # Written before anything is computed: hours later is too late to learn of a full disk.
            probe = cells / f".probe{TEMPORARY}"
            write_atomic(probe, bytes(4096))
            probe.unlink()
        self._write_record()

    def _continue(self, old: dict[str, Any]) -> None:
        """Go on with a run, if it is this one."""
        refuse_other(self.path, old, self._record)
        self.resumed = True
        self._record["started"] = old["started"]
        self._record |= {name: old[name] for name in ("outputs", "digests")}

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
        kind = kind_of(path)
        refuse_kind(path, kind, "file")
        if kind is not None:
            try:
                values = unpack_cell(read_file(path), key=key, run=self._run)
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
            RunError: The name is not a plain one, a file is there that no run recorded writing,
                the run is over, or the disk is full.
            ResultError: The result holds something that cannot be stored.
        """
        self._refuse_closed(self.path / name)
        files, folder = result_files(result), self.path / name
        if is_output(name) and kind_of(folder / MANIFEST) is not None:
            try:
                read_folder(folder)
            except ResultError as error:
                self._report(folder, str(error))
        return self.write_folder(name, files)

    def write_folder(self, name: str, files: Mapping[str, bytes]) -> Path:
        """Write a folder of the run; without the last of its files it counts as not there.

        Args:
            name: Name of the folder within the run directory.
            files: Content by file name, the file that vouches for the others last.

        Raises:
            RunError: A name is not a plain one, a file is there that no run recorded writing, the
                run is over, or the disk is full.
        """
        folder = self._claim(name, {f"{name}/{file}": data for file, data in files.items()})
        with disk_errors(folder, RunError):
            write_files(folder, files)
        return folder

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder within the run, removed at the end of the block or after a kill."""
        with disk_errors(self.path, RunError):
            folder = Path(tempfile.mkdtemp(prefix=".", suffix=TEMPORARY, dir=self.path))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file of the run, for example a page or a summary.

        Args:
            name: File name within the run directory.
            text: Written as UTF-8; a lone surrogate becomes its escape.

        Raises:
            RunError: The name is not a plain one, a file is there that no run recorded writing,
                the run is over, or the disk is full.
        """
        return self.write_bytes(name, clean_text(text).encode("utf-8"))

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write a file of the run as it is, for example one that another program reads.

        Args:
            name: File name within the run directory.
            data: Its content.

        Raises:
            RunError: The name is not a plain one, a file is there that no run recorded writing,
                the run is over, or the disk is full.
        """
        path = self._claim(name, {name: data})
        with disk_errors(path, RunError):
            write_atomic(path, data)
        return path

    def _claim(self, name: str, files: Mapping[str, bytes]) -> Path:
        """Path for an output, noted in `run.json` first so that `fresh` can remove it."""
        self._refuse_closed(self.path / name)
        path = self.path / name
        with disk_errors(path, RunError):
            known = self._known is None or name in self._known or name in self._record["outputs"]
            check_output(self.path, name, files, known=known)
        outputs = sorted({*self._record["outputs"], name})
        digests = {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}
        digests = {**self._record["digests"], **digests}
        if (outputs, digests) != (self._record["outputs"], self._record["digests"]):
            self._record |= {"outputs": outputs, "digests": digests}
            self._write_record()
        return path
