"""Which files of a folder elicit made: only those are ever replaced or removed.

A run directory may come from someone else, so nothing in it is followed: links and pipes are
refused before anything is written, and a file is removed only if it has the bytes that were
recorded when it was written.
"""

import contextlib
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from elicit.results import TEMPORARY, RunError, disk_errors, kind_of, read_file, sha256_file
from elicit.runs.lock import LOCK
from elicit.runs.record import CELLS, RECORD, is_output, read_run

_CELL = re.compile(r"[A-Za-z0-9._=-]+-[0-9a-f]{16}\.safetensors")
_SCRATCH = re.compile(rf"\.[a-z0-9_]{{8}}{re.escape(TEMPORARY)}")


def refuse_foreign(path: Path) -> None:
    """Refuse a path that is no folder, or a folder that holds what no run wrote.

    Raises:
        RunError: The path is a file, holds files and no run, or a run with links, pipes or devices
            in it.
    """
    if path.exists() and not path.is_dir():
        raise RunError(
            f"{path} is a file and a run needs a folder, so nothing could be written. Pass "
            "another folder."
        )
    if not path.is_dir():
        return
    with disk_errors(path, RunError):
        kinds = {entry.name: kind_of(entry) for entry in sorted(path.iterdir())}
    names = [name for name in kinds if not name.endswith(TEMPORARY)]
    # A kill before the first run.json leaves no more than the first two.
    foreign = [name for name in names if name not in (LOCK, CELLS, RECORD)]
    record = None
    if foreign and (LOCK in kinds or CELLS in kinds):
        refuse_kind(path / RECORD, kinds.get(RECORD), "file")
    if kinds.get(RECORD) == "file":
        record = read_run(path / RECORD)
        # A damaged run.json is taken for ours only beside the cells that every run has.
        foreign = [] if record is not None or kinds.get(CELLS) == "folder" else [RECORD]
    if foreign:
        raise RunError(
            f"{path} holds {foreign[0]!r} and no run of elicit, so a run there could overwrite "
            f"files that are not its own ({len(names)} in all). Pass another folder, or an "
            "empty one."
        )
    for name, kind in kinds.items():
        refuse_kind(path / name, kind, {RECORD: "file", LOCK: "file", CELLS: "folder"}.get(name))
    with disk_errors(path, RunError):
        for cell in sorted((path / CELLS).iterdir()) if CELLS in kinds else ():
            refuse_kind(cell, kind_of(cell), "file")
    for name in record["digests"] if record else ():
        output = name.partition("/")[0]
        refuse_kind(path / output, kinds.get(output), "file" if output == name else "folder")
        refuse_kind(path / name, kind_of(path / name), "file")


def refuse_kind(path: Path, kind: str | None, expected: str | None = None) -> None:
    """Refuse a link, pipe or device, or a folder in place of a file, where a run writes.

    Args:
        path: Where it writes.
        kind: What lies there, as `kind_of` says it; None for nothing.
        expected: What may lie there, `file` or `folder`; None for either.

    Raises:
        RunError: It is of another kind.
    """
    if kind is None or kind == expected or (expected is None and kind in ("file", "folder")):
        return
    raise RunError(
        f"{path} is a {kind}, and elicit makes {'neither' if expected is None else 'a ' + expected}"
        f"{' links nor pipes' if expected is None else ' there'}, so writing could reach files "
        "that are not of this run. Remove it, or pass another folder."
    )


def check_output(path: Path, name: str, files: Mapping[str, bytes], *, known: bool) -> None:
    """Refuse an output that would reach out of its folder or replace what no run wrote.

    `files`: content by place within the run, `name` itself or files of a folder. `known`: whether
    a run recorded this name, or the record was lost.

    Raises:
        RunError: The name is not a plain one, or a link, pipe or other file is there.
        OSError: What is there cannot be read.
    """
    if not is_output(name):
        raise RunError(
            f"The output name {name!r} is not one plain name inside {path}, or it is one "
            "that the run itself uses, so writing it could destroy other files. Use a name "
            "like 'report.html'."
        )
    refuse_kind(path / name, kind_of(path / name), "file" if name in files else "folder")
    for place, data in files.items():
        file = path / place
        kind = kind_of(file)
        refuse_kind(file, kind, "file")
        if kind is None or known or (file.stat().st_size == len(data) and read_file(file) == data):
            continue
        raise RunError(
            f"{file} is there and no run recorded writing it, so what it holds would be lost. "
            "Move it away and start again: finished work is kept."
        )


def remove_leftovers(path: Path, record: Mapping[str, Any] | None) -> None:
    """Remove half-written files that a kill left.

    Args:
        path: Folder of a run.
        record: What its `run.json` says, if that is whole.

    Raises:
        OSError: A file cannot be removed.
    """
    folders = [path, path / CELLS, *(path / name for name in (record or {}).get("outputs", ()))]
    for folder in folders:
        for entry in folder.iterdir() if kind_of(folder) == "folder" or folder == path else ():
            if not (entry.name.startswith(".") and entry.name.endswith(TEMPORARY)):
                continue
            if kind_of(entry) == "file":
                entry.unlink()
            elif kind_of(entry) == "folder" and _SCRATCH.fullmatch(entry.name):
                shutil.rmtree(entry)


def remove_outputs(path: Path, record: Mapping[str, Any] | None) -> None:
    """Remove what an earlier run wrote, and nothing else.

    `record`: what its `run.json` says, if that is whole.

    Raises:
        OSError: A file cannot be removed.
    """
    for cell in (path / CELLS).iterdir() if kind_of(path / CELLS) == "folder" else ():
        if _CELL.fullmatch(cell.name) and kind_of(cell) == "file":
            cell.unlink()
    for name, digest in record["digests"].items() if record else ():
        file = path / name
        inside = file.parent == path or kind_of(file.parent) == "folder"
        if not (inside and kind_of(file) == "file" and sha256_file(file) == digest):
            continue
        file.unlink()
        if file.parent != path:
            # A file that the run did not write keeps its folder.
            with contextlib.suppress(OSError):
                file.parent.rmdir()
