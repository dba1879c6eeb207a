"""One writer at a time: a lock that dies with the process that holds it."""

import errno
import os
import warnings
from pathlib import Path

from elicit.results import RunError

LOCK = ".lock"

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


def take_lock(folder: Path) -> int:
    """Lock a run directory until `release_lock` or the end of this process, however it ends.

    Returns:
        Handle for `release_lock`.

    Raises:
        RunError: Another process, or another part of this one, writes there.
        OSError: The lock file cannot be written.
    """
    # Not on every platform, and needed only here.
    import fcntl

    path = folder / LOCK
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(handle, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(handle)
        raise RunError(
            f"Process {holder} is writing {folder}, and this is process {os.getpid()}; two at once "
            "would overwrite each other. Wait for it, stop it, or pass another folder."
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            os.close(handle)
            raise
        warnings.warn(
            f"{folder} is on a file system without locks ({error.strerror}), so a second process "
            "writing the same run would not be stopped. Start one at a time.",
            stacklevel=4,
        )
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode("ascii"))
    return handle


def release_lock(handle: int) -> None:
    """Give the lock back; the empty lock file stays, as removing it would let two take it."""
    os.ftruncate(handle, 0)
    os.close(handle)
