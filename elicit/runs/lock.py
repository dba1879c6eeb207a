"""One writer at a time: a lock that dies with the process that holds it."""

import errno
import os
import re
import stat
import warnings
from pathlib import Path

from elicit.results import RunError, kind_of

LOCK = ".lock"

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
_HOLDER = re.compile(rb"\d{0,20}\n?")


def take_lock(folder: Path) -> int:
    """Lock a run directory until `release_lock` or the end of this process, however it ends.

    Returns:
        Handle for `release_lock`.

    Raises:
        RunError: Another process, or another part of this one, writes there; or the lock is a link
            or another file, which must not be emptied.
        OSError: The lock file cannot be written.
    """
    # Not on every platform, and needed only here.
    import fcntl

    path = folder / LOCK
    kind = kind_of(path)
    if kind not in (None, "file"):
        raise _not_ours(path, f"is a {kind}")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    try:
        state = os.fstat(handle)
        content = os.read(handle, 64)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
            raise _not_ours(path, f"is one file under {state.st_nlink} names")
        if not _HOLDER.fullmatch(content):
            raise _not_ours(path, "holds more than the number of a process")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = content.decode("ascii").strip() or "unknown"
            raise RunError(
                f"Process {holder} is writing {folder}, and this is process {os.getpid()}; two at "
                "once would overwrite each other. Wait for it, stop it, or pass another folder."
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            warnings.warn(
                f"{folder} is on a file system without locks ({error.strerror}), so a second "
                "process writing the same run would not be stopped. Start one at a time.",
                stacklevel=4,
            )
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode("ascii"), 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _not_ours(path: Path, what: str) -> RunError:
    return RunError(
        f"{path} {what} and no lock that elicit wrote, so what it holds would be lost. Remove it, "
        "or pass another folder."
    )


def release_lock(handle: int) -> None:
    """Give the lock back; the empty lock file stays, as removing it would let two take it."""
    os.ftruncate(handle, 0)
    os.close(handle)
