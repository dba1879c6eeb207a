"""Folder of a result: three files that vouch for each other."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from elicit.results.codec import class_name, encode
from elicit.results.columns import columns
from elicit.results.descriptions import captions
from elicit.results.disk import parse_json, read_file, write_atomic
from elicit.results.errors import ResultError
from elicit.results.store import canonical_json, digest_json, tensor_bytes
from elicit.results.table import parquet_bytes

VALUES, TABLE, MANIFEST = "values.safetensors", "table.parquet", "result.json"
FORMAT = 1

_LARGEST = 2**30
_TYPES = {"class": str, "values": dict, "files": dict, "provenance": dict | None}


def result_files(result: Any) -> dict[str, bytes]:
    """Content of a result's files by name, the manifest last.

    Args:
        result: Any result.

    Raises:
        ResultError: A field cannot be stored.
    """
    arrays: dict[str, Any] = {}
    values = {
        item.name: encode(getattr(result, item.name), item.name, arrays)
        for item in fields(result)
        if item.init and item.name != "provenance"
    }
    name = class_name(type(result))
    table = columns(result, result._widest())
    files = {
        VALUES: tensor_bytes(arrays, {"class": name}),
        TABLE: parquet_bytes(table, captions(type(result))),
    }
    manifest: dict[str, object] = {
        "format": FORMAT,
        "class": name,
        "title": result._title(),
        "schema": result._told(),
        "values": values,
        "provenance": result.provenance and result.provenance.to_json(),
        "files": {file: hashlib.sha256(data).hexdigest() for file, data in files.items()},
    }
    manifest["digest"] = digest_json(manifest)
    return {**files, MANIFEST: canonical_json(manifest)}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a folder, the one that vouches for the others last.

    Args:
        folder: Made if it is not there; files that have their bytes already are left alone.
        files: Content by name.

    Raises:
        OSError: A file cannot be written; without the last one the folder counts as not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if all(_holds(folder / name, data) for name, data in files.items()):
        return
    (folder / [*files][-1]).unlink(missing_ok=True)
    for name, data in files.items():
        write_atomic(folder / name, data)


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file has exactly these bytes."""
    return path.is_file() and path.stat().st_size == len(data) and read_file(path) == data


def read_folder(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Manifest and values of a result, each file held against its digest."""
    manifest = _read_manifest(folder)
    data = b""
    for name in (VALUES, TABLE):
        data_of = _read_bytes(folder / name)
        if hashlib.sha256(data_of).hexdigest() != manifest["files"].get(name):
            raise ResultError(
                f"{folder / name} does not have the digest that {MANIFEST} names, so it was cut, "
                "altered or copied from elsewhere. Restore the file or recompute the result."
            )
        data = data_of if name == VALUES else data
    return manifest, data


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Manifest of a result, held against its own digest."""
    path = folder / MANIFEST
    data = _read_bytes(path)
    manifest: dict[str, Any] = {}
    try:
        found = parse_json(data)
        if isinstance(found, dict):
            digest = found.pop("digest")
            # A changed byte that means the same is still not what was written.
            same = canonical_json({**found, "digest": digest}) == data
            manifest = found if same and digest == digest_json(found) else {}
    except (ValueError, KeyError, ResultError):
        pass
    if not manifest:
        raise ResultError(
            f"{path} is not a whole {MANIFEST} written by elicit, so what it says cannot be "
            "trusted. Restore the file or recompute the result."
        )
    if digest_json(manifest.get("format")) != digest_json(FORMAT):
        raise ResultError(
            f"{path} has format {str(manifest.get('format'))[:80]} and this version reads format "
            f"{FORMAT}, so its fields would be misread. Use the version of elicit that wrote it."
        )
    wrong = [name for name, kind in _TYPES.items() if not isinstance(manifest.get(name, 0), kind)]
    if wrong:
        raise ResultError(
            f"{path} has no {wrong[0]!r} of the right type, so it was not written by elicit. "
            "Restore the file or recompute the result."
        )
    return manifest


def _read_bytes(path: Path) -> bytes:
    """Bytes of a result's file."""
    try:
        return read_file(path, limit=_LARGEST if path.name == MANIFEST else None)
    except OSError as error:
        raise ResultError(
            f"{path} cannot be read ({error.strerror}), so {path.parent} holds no whole result. "
            f"{MANIFEST} is written last: if it is missing, the save was interrupted. Name another "
            "folder or recompute the result."
        ) from error
