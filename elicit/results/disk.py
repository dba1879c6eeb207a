"""Files on disk: whole or not there, and read only where they are what they seem.

Folders may come from someone else. A link, a pipe or a device in the place of a file is refused
before it is opened, so that nothing outside a folder is touched and no read waits for ever.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elicit.results.errors import ElicitError

TEMPORARY = ".elicit-tmp"
"""Suffix of files that a kill may leave half written; a run removes them when it goes on."""

_DEEPEST = 100
_LONGEST = 200
_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISLNK, "symbolic link"),
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
)
# A file system without folder fsync says so with one of these; there is nothing more to do there.
_NO_FOLDER_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that every reader sees the old bytes or the new, also after a crash.

    Args:
        path: File to write; its folder exists.
        data: The whole content.

    Raises:
        OSError: The file cannot be written; no part of it is left.
    """
    temporary = path.with_name(f".{path.name[:120]}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in _NO_FOLDER_FSYNC:
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FSYNC:
            raise
    finally:
        os.close(handle)


@contextmanager
def disk_errors(path: Path, error: type[ElicitError]) -> Iterator[None]:
    """Turn what the operating system says about a failed write into words a user can act on.

    Args:
        path: What is being written inside the block.
        error: Class to raise instead of OSError.

    Raises:
        ElicitError: The block raised OSError; the class is `error`.
    """
    try:
        yield
    except OSError as failure:
        if failure.errno in (errno.ENOSPC, errno.EDQUOT):
            raise error(
                f"The disk is full: {path} could not be written, {_free_bytes(path)} bytes are "
                "free there. What was finished before is safe and no half-written file was left. "
                "Free some space and start again."
            ) from failure
        raise error(
            f"{path} cannot be written ({failure.strerror or failure}), so what is measured would "
            "be lost. Pass a folder that you may write to."
        ) from failure


def _free_bytes(path: Path) -> int:
    """Bytes free on the disk that holds `path`."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def read_file(path: Path, *, limit: int | None = None) -> bytes:
    """Bytes of a regular file; a pipe or a device, which might never end, is not opened.

    Args:
        path: File to read.
        limit: Largest size, bytes.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    # Not blocking, in case it became a pipe since.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        size = os.fstat(file.fileno()).st_size
        if limit is not None and size > limit:
            raise OSError(errno.EFBIG, f"it has {size} bytes and at most {limit} are expected")
        try:
            return file.read()
        except MemoryError as error:
            raise OSError(errno.ENOMEM, f"its {size} bytes do not fit into memory") from error


def parse_json(data: bytes | str) -> object:
    """JSON value of a file, whoever wrote it.

    Args:
        data: Text in UTF-8.

    Raises:
        ValueError: It is no JSON, holds NaN or an infinity, or is nested deeper than any value that
            is written here.
    """

    def refuse(text: str) -> object:
        raise ValueError(f"{text} is no JSON number")

    try:
        value = json.loads(data, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    level: list[object] = [value]
    for _ in range(_DEEPEST):
        level = [
            item
            for part in level
            if isinstance(part, dict | list)
            for item in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return value
    raise ValueError(f"it is nested more than {_DEEPEST} deep")


def is_plain_name(name: object) -> bool:
    """Whether a value names a file or folder within its folder, and nothing elsewhere or hidden."""
    return (
        isinstance(name, str)
        and 0 < len(name.encode("utf-8", "surrogatepass")) <= _LONGEST
        and not name.startswith(".")
        and not any(c in name for c in "/\\\0")
        and name.isprintable()
    )


def kind_of(path: Path) -> str | None:
    """What lies at a path, links not followed: `file`, `folder`, another kind, or None.

    Raises:
        OSError: A folder above cannot be entered.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    for is_it, name in _KINDS:
        if is_it(mode):
            return name
    return "device"


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
