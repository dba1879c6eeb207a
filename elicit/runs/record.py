"""run.json: what a run is, and how far it came."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from elicit.results import (
    ResultError,
    RunError,
    canonical_json,
    digest_json,
    installed_versions,
    is_plain_name,
    parse_json,
    plain,
    read_file,
)

RECORD = "run.json"
CELLS = "cells"
FORMAT = 1

_LARGEST = 64 * 2**20


def now() -> str:
    """Time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_record(
    kind: str, arguments: Mapping[str, object], identity: Mapping[str, object]
) -> dict[str, Any]:
    """The record of a run that begins now.

    Raises:
        ResultError: Arguments or identity hold something that has no JSON form.
    """
    return {
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
        "digests": {},
    }


def same_run(record: Mapping[str, Any]) -> dict[str, Any]:
    """What makes two runs the same run, in the order in which a difference is reported."""
    return {name: record.get(name) for name in ("kind", "arguments", "identity", "elicit")}


def refuse_other(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse to go on with another run.

    Raises:
        RunError: The two differ in what makes them the same run; names both values.
    """
    for name, value in same_run(new).items():
        found = first_difference(old.get(name), value, name)
        if found:
            place, was, now_is = found
            raise RunError(
                f"{path} holds a run with {place} = {was}, and this run has {place} = {now_is}, so "
                "their values must not be mixed. Pass another folder, or pass fresh=True to "
                "discard the run that is there."
            )


def record_bytes(record: dict[str, Any]) -> bytes:
    """Content of `run.json`, with a digest of itself."""
    return canonical_json({**record, "digest": digest_json(record)})


def read_record(path: Path) -> dict[str, Any] | None:
    """What `run.json` says; None where it is not a whole one that elicit wrote.

    Raises:
        RunError: It cannot be read, or was written in a format this version does not know.
    """
    try:
        data = read_file(path, limit=_LARGEST)
    except OSError as error:
        raise RunError(
            f"{path} cannot be read ({error.strerror}), so it is not known what run it is. Pass "
            "another folder."
        ) from error
    try:
        record = parse_json(data)
        if not isinstance(record, dict) or record.pop("digest") != digest_json(record):
            return None
    except (ValueError, KeyError, ResultError):
        return None
    # 1, 1.0 and True are equal to Python.
    if digest_json(record.get("format")) != digest_json(FORMAT):
        raise RunError(
            f"{path} has format {_short(record.get('format'))} and this version writes format "
            f"{FORMAT}, so the run cannot go on. Use the version of elicit that began it, or pass "
            "another folder."
        )
    return record


def read_run(path: Path) -> dict[str, Any] | None:
    """The record of a run, every field of its type; None where it is not whole.

    Raises:
        RunError: See `read_record`.
    """
    record = read_record(path)
    if record is None:
        return None
    outputs, digests = record.get("outputs"), record.setdefault("digests", {})
    # Names are read back and used as paths: a digest only says who could write them.
    whole = (
        isinstance(record.get("started"), str)
        and isinstance(outputs, list)
        and all(map(is_output, outputs))
        and isinstance(digests, dict)
        and all(_is_file_of_run(name) and isinstance(digests[name], str) for name in digests)
    )
    return record if whole else None


def is_output(name: object) -> bool:
    """Whether a run may write under this name: plain, and none that the run itself uses."""
    return is_plain_name(name) and name not in (RECORD, CELLS)


def _is_file_of_run(name: str) -> bool:
    """Whether a name is that of an output, or of a file in an output's folder."""
    first, *rest = name.split("/")
    return is_output(first) and len(rest) < 2 and all(map(is_plain_name, rest))


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
