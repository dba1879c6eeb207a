"""A run in a local folder and its copy at a URL.

A store of objects has neither renames nor locks, which a run directory needs. So a run is always
in a local folder, and what is whole in it is copied. A copy is in every state one that
`RunDirectory.open` goes on from: a record names outputs before they are there, and says that a run
has finished only after everything else.
"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elicit.results import TEMPORARY, RunError, disk_errors, is_plain_name, kind_of, write_atomic
from elicit.runs.record import RECORD, read_record, record_bytes
from elicit.runs.remote import RemoteFolder


class Mirror:
    """One run in a local folder and its copy at a URL."""

    def __init__(self, remote: RemoteFolder, name: str, path: Path) -> None:
        """Pair a local folder with its copy; nothing is copied yet."""
        self._remote, self._name, self._path = remote, name, path
        self._sent: dict[str, tuple[int, int] | None] = {}
        self._there: list[str] = []

    def pull(self) -> None:
        """Copy what is there and not here; what is here stays if it is of the same run.

        Raises:
            RunError: See `RemoteFolder.list` and `RemoteFolder.fetch`.
        """
        self._there = self._remote.list(self._name)
        if self._there and kind_of(self._path) is not None and not self._same_run():
            shutil.rmtree(self._path)
        for place in self._there:
            path = self._path / place
            if kind_of(path) is None and self._remote.fetch(f"{self._name}/{place}", path):
                self._sent[place] = _state(path)

    def _same_run(self) -> bool:
        """Whether what an earlier attempt left here is of the run that is there."""
        copy = self._path.with_name(f".{self._name}.there")
        if RECORD not in self._there or not self._remote.fetch(f"{self._name}/{RECORD}", copy):
            return False
        here = read_record(self._path / RECORD) if kind_of(self._path / RECORD) else None
        there = read_record(copy)
        copy.unlink()
        return here is not None and there is not None and here["started"] == there["started"]

    def try_push(self) -> None:
        """Copy what has changed; what fails now is copied the next time."""
        try:
            self._push(ended=False)
        except (RunError, OSError):
            return

    def push(self) -> None:
        """Copy what has changed, and what was removed is removed there.

        Raises:
            RunError: It cannot be written, or a local file not read.
        """
        with disk_errors(self._path, RunError):
            self._push(ended=True)

    def _push(self, *, ended: bool) -> None:
        places = _whole_files(self._path)
        records = [place for place in places if Path(place).name == RECORD]
        changed = [p for p in places if self._sent.get(p) != _state(self._path / p)]
        # Read after the list: whatever the list names is recorded by now.
        for place in records if changed else ():
            self._put_running(place)
        for place in changed:
            if place not in records:
                self._put(place)
        if not ended:
            return
        for place in self._there:
            if kind_of(self._path / place) is None:
                self._remote.remove(f"{self._name}/{place}")
        self._there = []
        # Those of runs within a run first.
        for place in sorted(records, key=lambda each: -each.count("/")) if changed else ():
            self._put(place)

    def _put(self, place: str) -> None:
        path = self._path / place
        state = _state(path)
        self._remote.put(path, f"{self._name}/{place}")
        self._sent[place] = state

    def _put_running(self, place: str) -> None:
        """The record as long as files are missing: it names outputs and not that it has ended."""
        record = read_record(self._path / place)
        if record is None:
            return
        going = {"status": "running", "finished": None, "seconds": None, "error": None}
        copy = self._path / f".{RECORD}.going{TEMPORARY}"
        write_atomic(copy, record_bytes({**record, **going}))
        try:
            self._remote.put(copy, f"{self._name}/{place}")
            self._sent.pop(place, None)
        finally:
            copy.unlink(missing_ok=True)


@contextmanager
def mirrored(
    remote: RemoteFolder, name: str, path: Path, *, every: float = 60.0
) -> Iterator[Mirror]:
    """A block around a run in a local folder, which begins with what is there and is copied.

    Args:
        remote: Where the copy is.
        name: Plain name of the run there.
        path: The local folder. What an earlier attempt left there stays if it is of the run
            that is there, or if none is there.
        every: Time between two copies of what has become whole meanwhile, seconds; one more
            follows at the end of the block, however it ends.

    Raises:
        RunError: See `RemoteFolder.list` and `RemoteFolder.fetch`; or the last copy failed.
    """
    mirror = Mirror(remote, name, path)
    mirror.pull()
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(every):
            # A store that does not answer for a while must not end a run of hours.
            mirror.try_push()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield mirror
    except BaseException:
        # What ended the run matters more than a store that does not answer.
        _stop(thread, ended)
        mirror.try_push()
        raise
    _stop(thread, ended)
    mirror.push()


def _stop(thread: threading.Thread, ended: threading.Event) -> None:
    ended.set()
    thread.join()


def _whole_files(path: Path) -> list[str]:
    """Files that are whole: neither locks nor what is being written, which are hidden."""
    found = []
    for folder in [path] if kind_of(path) == "folder" else []:
        for each in sorted(folder.rglob("*")):
            place = each.relative_to(path)
            if kind_of(each) == "file" and all(map(is_plain_name, place.parts)):
                found.append(place.as_posix())
    return found


def _state(path: Path) -> tuple[int, int] | None:
    """What differs once a file was replaced; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns
