"""Folder of a result: three files that vouch for each other."""

import hashlib
import json
from pathlib import Path
from typing import Any

from elicit.results.errors import ResultError
from elicit.results.store import canonical_json, digest_json, write_atomic

VALUES, TABLE, MANIFEST = "values.safetensors", "table.parquet", "result.json"
FORMAT = 1


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write a result's files, the manifest last, and leave alone what is already there."""
    folder.mkdir(parents=True, exist_ok=True)
    if all(_holds(folder / name, data) for name, data in files.items()):
        return
    # Without its manifest the folder is no result until all files are the new ones.
    (folder / MANIFEST).unlink(missing_ok=True)
    for name in (VALUES, TABLE, MANIFEST):
        write_atomic(folder / name, files[name])


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file has exactly these bytes."""
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def read_folder(folder: Path) -> tuple[dict[str, Any], bytes]:
    """Manifest and values of a result, each file held against its digest."""
    manifest = _read_manifest(folder)
    data = b""
    for name in (VALUES, TABLE):
        data_of = _read_bytes(folder / name)
        if hashlib.sha256(data_of).hexdigest() != manifest["files"].get(name):
            raise ResultError(
                f"{folder / name} does not have the digest that {MANIFEST} names, so it was cut, "
                "altered or copied from elsewhere. Restore the file or make the result anew."
            )
        data = data_of if name == VALUES else data
    return manifest, data


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Manifest of a result, held against its own digest."""
    path = folder / MANIFEST
    data = _read_bytes(path)
    try:
        manifest = json.loads(data)
        digest = manifest.pop("digest")
        whole = digest == digest_json(manifest)
        # A changed byte that means the same is still not what was written.
        whole = whole and canonical_json({**manifest, "digest": digest}) == data
    except (ValueError, KeyError, TypeError, AttributeError, ResultError):
        whole, manifest = False, {}
    if not whole:
        raise ResultError(
            f"{path} is not a whole {MANIFEST} written by elicit, so what it says cannot be "
            "trusted. Restore the file or make the result anew."
        )
    if manifest["format"] != FORMAT:
        raise ResultError(
            f"{path} has format {manifest['format']} and this version reads format {FORMAT}, so "
            "its fields would be misread. Use the version of elicit that wrote it."
        )
    return manifest


def _read_bytes(path: Path) -> bytes:
    """Bytes of a result's file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultError(
            f"{path} cannot be read ({error.strerror}), so {path.parent} holds no whole result. "
            f"{MANIFEST} is written last: if it is missing, the save was interrupted. Name another "
            "folder or make the result anew."
        ) from error
