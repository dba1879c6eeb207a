"""run.json: what a run is, and how far it came."""

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from elicit.results import (
    MANIFEST,
    TABLE,
    TEMPORARY,
    VALUES,
    ResultError,
    RunError,
    canonical_json,
    digest_json,
)
from elicit.runs.lock import LOCK

RECORD = "run.json"
CELLS = "cells"
FORMAT = 1


def now() -> str:
    """Time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record_bytes(record: dict[str, Any]) -> bytes:
    """Content of `run.json`, with a digest of itself."""
    return canonical_json({**record, "digest": digest_json(record)})


def read_record(path: Path) -> dict[str, Any] | None:
    """What `run.json` says; None where it is not a whole one that elicit wrote.

    Raises:
        RunError: It cannot be read, or was written in a format this version does not know.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(
            f"{path} cannot be read ({error.strerror}), so it is not known what run it is. Pass "
            "another folder."
        ) from error
    try:
        record = json.loads(data)
        whole = record.pop("digest") == digest_json(record)
    except (ValueError, KeyError, TypeError, AttributeError, ResultError):
        return None
    if not whole:
        return None
    if record.get("format") != FORMAT:
        raise RunError(
            f"{path} has format {record.get('format')} and this version writes format {FORMAT}, so "
            "the run cannot go on. Use the version of elicit that began it, or pass another "
            "folder."
        )
    return record


def first_difference(old: Any, new: Any, where: str) -> tuple[str, str, str] | None:
    """First place, in sorted order, where two JSON values differ, with both values.

    Args:
        old: What is on disk.
        new: What is asked for.
        where: Name of the values.

    Returns:
        Dotted place, old value, new value; None where they are equal.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            place = f"{where}.{key}" if where else key
            if key not in old or key not in new:
                told = [_short(side[key]) if key in side else "absent" for side in (old, new)]
                return place, told[0], told[1]
            found = first_difference(old[key], new[key], place)
            if found:
                return found
        return None
    # 1, 1.0 and True are equal to Python and not the same argument.
    return None if canonical_json(old) == canonical_json(new) else (where, _short(old), _short(new))


def _short(value: Any) -> str:
    """JSON of a value, cut to fit in a sentence."""
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 100 else f"{text[:99]}…"


def refuse_foreign(path: Path) -> None:
    """Refuse a path that is no folder, or a folder whose files no run wrote.

    Raises:
        RunError: The path is a file, or holds files and no run.
    """
    if path.exists() and not path.is_dir():
        raise RunError(
            f"{path} is a file and a run needs a folder, so nothing could be written. Pass "
            "another folder."
        )
    if not path.is_dir():
        return
    # A kill before the first run.json leaves no more than these.
    mine = {LOCK, CELLS, RECORD}
    names = sorted(entry.name for entry in path.iterdir() if not entry.name.endswith(TEMPORARY))
    foreign = [name for name in names if name not in mine]
    record = path / RECORD
    if record.exists():
        # A damaged run.json is taken for ours only beside the cells that every run has.
        if (path / CELLS).is_dir() or read_record(record) is not None:
            return
        foreign = [RECORD]
    if foreign:
        raise RunError(
            f"{path} holds {foreign[0]!r} and no run of elicit, so a run there could overwrite "
            f"files that are not its own ({len(names)} in all). Pass another folder, or an "
            "empty one."
        )


def remove_outputs(path: Path, record: dict[str, Any] | None) -> None:
    """Remove what an earlier run wrote, and nothing else.

    `record`: what its `run.json` says, if that is whole.

    Raises:
        OSError: A file cannot be removed.
    """
    files = [*(path / CELLS).glob("*.safetensors")]
    folders = []
    for output in record["outputs"] if record else ():
        place = path / output
        if place.is_dir():
            files.extend(place / name for name in (MANIFEST, VALUES, TABLE))
            folders.append(place)
        else:
            files.append(place)
    (path / RECORD).unlink(missing_ok=True)
    for file in files:
        file.unlink(missing_ok=True)
    for folder in folders:
        # A file that the run did not write keeps its folder.
        with contextlib.suppress(OSError):
            folder.rmdir()
