"""A folder of activations, and files that can each tell whether they are what they claim to be."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.results import (
    TEMPORARY,
    ElicitError,
    ResultError,
    digest_tensors,
    disk_errors,
    kind_of,
    parse_json,
    write_atomic,
)
from elicit.runs import (
    FORMAT,
    LOCK,
    DamagedFileWarning,
    cell_file,
    first_difference,
    pack_cell,
    read_record,
    record_bytes,
    refuse_kind,
    release_lock,
    remove_leftovers,
    take_lock,
)
from elicit.sites import Site

MANIFEST, SHARDS = "activations.json", "shards"
_VALUES = "activations"


class StoreError(ElicitError):
    """A folder of activations that differs from the request, or cannot be filled."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Shard:
    """Activations of consecutive rows, padding left out."""

    activations: Float[Tensor, "token width"]
    """One vector a token, mapped from disk: a page is read when it is touched. Heads are one long
    vector."""
    row: Int[Tensor, " token"]
    """Row of each token."""
    pos: Int[Tensor, " token"]
    """Place of each token in its row."""


def plan_shards(lengths: Sequence[int], shard_tokens: int) -> tuple[tuple[int, ...], ...]:
    """Row numbers of each shard, in order; a row is never cut.

    `shard_tokens`: most tokens in a shard; a longer row has its own.
    """
    shards: list[list[int]] = []
    held = 0
    for row, length in enumerate(lengths):
        if not shards or held + length > shard_tokens:
            shards.append([])
            held = 0
        shards[-1].append(row)
        held += length
    return tuple(map(tuple, shards))


def places(lengths: Sequence[int]) -> tuple[slice, ...]:
    """Where each row's tokens are in its shard."""
    ends = list(accumulate(lengths))
    return tuple(slice(end - n, end) for n, end in zip(lengths, ends, strict=True))


def shard_key(site: Site, index: int) -> str:
    """Name of a shard within its store."""
    return f"{site}/{index}"


def shard_file(site: Site, index: int) -> str:
    """File name of a shard."""
    return cell_file(shard_key(site, index))


def write_shard(
    path: Path, values: Float[Tensor, "token width"], *, key: str, identity: str
) -> None:
    """Write a shard whole or not at all, with its key, its origin and a digest of its values.

    `identity`: digest of what the values depend on.

    Raises:
        OSError: The file cannot be written.
        RunError: A link or a pipe is in its place.
    """
    refuse_kind(path, kind_of(path), "file")
    write_atomic(path, pack_cell({_VALUES: values}, key=key, run=identity))


def map_shard(path: Path, *, key: str, identity: str, verify: bool) -> Float[Tensor, "token width"]:
    """Values of a shard mapped from disk, if it is this shard.

    `verify`: whether to hold all values against their digest, which reads the whole file.

    Raises:
        ResultError: It is truncated, altered or foreign.
        FileNotFoundError: There is no such file.
    """
    import safetensors

    if not path.is_file():
        path.stat()
        raise ResultError("it is not a regular file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            head: Any = parse_json((file.metadata() or {})["elicit"])
            values = file.get_tensor(_VALUES)
            told = head["digest"], head["key"], head["run"]
    except Exception as error:  # the format's reader has errors of many classes
        raise ResultError("it is not a whole shard written by elicit") from error
    digest, own_key, own_identity = told
    if own_key != key:
        raise ResultError(f"it holds {own_key!r}, not {key!r}")
    if own_identity != identity:
        raise ResultError("it is of other weights, token ids or settings")
    if verify and digest != digest_tensors({_VALUES: values}):
        raise ResultError("its values do not have the digest in its header")
    return values


def row_and_pos(
    rows: Sequence[int], lengths: Sequence[int]
) -> tuple[Int[Tensor, " token"], Int[Tensor, " token"]]:
    """Row of each token of a shard, and its place in that row."""
    row = torch.tensor(rows).repeat_interleave(torch.tensor(lengths))
    return row, torch.cat([torch.arange(length) for length in lengths])


def recognise(folder: Path, identity: Mapping[str, object]) -> None:
    """Refuse a folder that is not a store's, or another store's; a missing one is accepted.

    `identity`: what makes two stores the same: digests of weights and rows, settings.

    Raises:
        StoreError: The folder is a file, or holds other files or other activations.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreError(
            f"{folder} is a file and a store needs a folder, so nothing could be written. Choose "
            "another."
        )
    if not folder.is_dir():
        return
    own = {MANIFEST, SHARDS}
    with disk_errors(folder, StoreError):
        kinds = {entry.name: kind_of(entry) for entry in folder.iterdir()}
    names = {name for name in kinds if not name.endswith(TEMPORARY)}
    foreign = sorted(names - own - {LOCK})
    if foreign and not own <= names:
        raise StoreError(
            f"{folder} holds {foreign[0]!r} and no activations, so a store there could lie among "
            "files that are not its own. Choose another or an empty folder."
        )
    refuse_kind(folder / MANIFEST, kinds.get(MANIFEST), "file")
    refuse_kind(folder / SHARDS, kinds.get(SHARDS), "folder")
    if MANIFEST in kinds and _sites(folder, identity) is None:
        report(folder / MANIFEST, "it is not a whole manifest written by elicit")


@contextmanager
def locked(folder: Path, identity: Mapping[str, object], sites: Sequence[str]) -> Iterator[None]:
    """A store's folder, ours alone for a block, with a manifest of all sites in it.

    Raises:
        StoreError: The folder holds other activations, or cannot be written.
        RunError: Another process writes there, or a link or a pipe is in a file's place.
    """
    path = folder / MANIFEST
    with disk_errors(folder, StoreError):
        refuse_kind(folder / SHARDS, kind_of(folder / SHARDS), "folder")
        (folder / SHARDS).mkdir(parents=True, exist_ok=True)
        handle = take_lock(folder)
    try:
        with disk_errors(folder, StoreError):
            remove_leftovers(folder, {"outputs": [SHARDS]})
            refuse_kind(path, kind_of(path), "file")
            before = _sites(folder, identity) or [] if path.exists() else []
            record = {
                "format": FORMAT,
                "identity": dict(identity),
                "sites": sorted({*before, *sites}),
            }
            data = record_bytes(record)
            if not path.exists() or path.read_bytes() != data:
                write_atomic(path, data)
        yield
    finally:
        release_lock(handle)


def _sites(folder: Path, identity: Mapping[str, object]) -> list[str] | None:
    """Sites that a folder's manifest names; None where it is no whole manifest."""
    record = read_record(folder / MANIFEST)
    if record is None:
        return None
    found = first_difference(record.get("identity"), dict(identity), "")
    if found:
        place, was, now_is = found
        raise StoreError(
            f"{folder} holds activations with {place} = {was}, and {place} = {now_is} is asked "
            "for, so they must not be mixed. Choose another folder."
        )
    sites = record.get("sites")
    return sites if isinstance(sites, list) and all(isinstance(s, str) for s in sites) else None


def report(path: Path, why: str) -> None:
    """Name a file that is not what it should be."""
    warnings.warn(
        f"{path} is damaged or foreign: {why}. It is not used and is computed again.",
        DamagedFileWarning,
        stacklevel=3,
    )
