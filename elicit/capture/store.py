"""Activations on disk: filled once, resumed after a kill, and never read unless whole."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture._shards import (
    SHARDS,
    Shard,
    StoreError,
    locked,
    map_shard,
    places,
    plan_shards,
    recognise,
    report,
    row_and_pos,
    shard_file,
    shard_key,
    write_shard,
)
from elicit.capture._stream import check_rows, stream
from elicit.capture.plain import modifications_of
from elicit.capture.read import check_max_tokens
from elicit.capture.reduce import check_vectors, vectors
from elicit.pair import weights_digest
from elicit.results import ResultError, digest_json, digest_tensors, disk_errors
from elicit.runs import Execution, NoProgress, Progress
from elicit.sites import Site
from elicit.surroundings import guarded

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)
}


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What one fill did."""

    n_computed: int
    """Shards computed."""
    n_kept: int
    """Shards that were there and whole."""
    damaged: tuple[Path, ...]
    """Files that were truncated, altered or foreign, and were computed again."""


class ActivationStore:
    """A folder with the activations of some rows at some sites of one model.

    Open it with `open`. Rows are put into shards in their order, and each shard is computed by
    itself, so that an interrupted fill ends with the bytes of an uninterrupted one.

    Attributes:
        folder: The folder.
        sites: Sites requested by this opening; others in the folder are left alone.
        n_tokens: Tokens in all rows.
        shards: Row numbers of each shard.
    """

    def __init__(
        self,
        folder: Path,
        rows: tuple[tuple[int, ...], ...],
        sites: tuple[Site, ...],
        identity: Mapping[str, Any],
    ) -> None:
        """Hold checked arguments; use `ActivationStore.open`."""
        self.folder = folder
        self.sites = sites
        self.n_tokens = sum(map(len, rows))
        self.shards = plan_shards([len(row) for row in rows], int(identity["shard_tokens"]))
        self._rows = rows
        self._identity = dict(identity)
        self._verified: dict[Path, tuple[int, int, int]] = {}

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        model_digest: str,
        rows: Sequence[Sequence[int]],
        sites: Sequence[Site],
        dtype: torch.dtype = torch.float32,
        shard_tokens: int = 65536,
        max_tokens: int = 8192,
    ) -> "ActivationStore":
        """Name what a folder holds or is to hold; nothing is written yet.

        Args:
            folder: Made when it is filled. A folder with other files in it is refused.
            model_digest: Digest of the weights, as `elicit.pair.weights_digest` gives it.
            rows: Token ids of each row.
            sites: Sites, each once; sites can be added to a folder later on.
            dtype: Float dtype on disk.
            shard_tokens: Most tokens in a file; a longer row has its own.
            max_tokens: Most positions in a forward. It changes rounding, so it is part of what the
                folder is.

        Raises:
            CaptureError: There are no rows, one is empty, or a site is a pattern or there twice.
            StoreError: An argument is out of range, or the folder holds other files, or activations
                of other weights, rows or settings.
        """
        check_rows(rows)
        check_vectors(sites)
        check_max_tokens(max_tokens)
        name = str(dtype).removeprefix("torch.")
        if not sites:
            raise StoreError("sites is empty, so there is nothing to keep. Pass at least one.")
        if name not in _DTYPES:
            raise StoreError(
                f"dtype is {name}, and activations are kept in one of {', '.join(_DTYPES)}. Pass "
                "one of these."
            )
        if shard_tokens < 1:
            raise StoreError(
                f"shard_tokens is {shard_tokens}, so no file would hold a token. Pass at least 1."
            )
        own = tuple(tuple(int(i) for i in row) for row in rows)
        flat = torch.tensor([i for row in own for i in row])
        identity = {
            "weights": model_digest,
            "ids": digest_tensors({"ids": flat, "lengths": torch.tensor([len(r) for r in own])}),
            "dtype": name,
            "shard_tokens": shard_tokens,
            "max_tokens": max_tokens,
        }
        recognise(Path(folder), identity)
        return cls(Path(folder), own, tuple(sites), identity)

    @guarded
    def fill(self, model: nn.Module, *, pad_id: int, progress: Progress | None = None) -> Filled:
        """Compute what is missing or damaged.

        Args:
            model: The model of `model_digest`, a bridge in raw mode, as it is: not edited.
            pad_id: Id put where a row has no token.
            progress: Counts the rows.

        Raises:
            SiteError: The model does not have a site.
            CaptureError: The model cannot read a row.
            StoreError: The model is another one, is edited or hooked, gives values that the dtype
                cannot hold, or the disk is full.
            RunError: Another process fills this folder.
        """
        # Checks every site and row; nothing runs until the first chunk is read.
        stream(model, self._rows, sites=self.sites, pad_id=pad_id)
        modifications = modifications_of(model)
        if modifications is not None:
            raise StoreError(
                f"the model {modifications}, so activations would be kept under the name of the "
                "plain model. Call model.eval(), leave the block of edits, or remove the hook, and "
                "fill the store then."
            )
        digest = weights_digest(model)
        if digest != self._identity["weights"]:
            raise StoreError(
                f"the model's weights have the digest {digest[:12]} and {self.folder} is of "
                f"{self._identity['weights'][:12]}, so activations of two models would be mixed. "
                "Pass that model, or open another folder."
            )
        progress, n_kept, n_computed, damaged = progress or NoProgress(), 0, 0, []
        sites = [str(site) for site in self.sites]
        with locked(self.folder, self._identity, sites), ExitStack() as stack:
            progress.start(len(self._rows), "keeping activations")
            stack.callback(progress.stop)
            for index, rows in enumerate(self.shards):
                missing = []
                for site in self.sites:
                    path = self._path(site, index)
                    try:
                        there = path.exists() and self._map(site, index) is not None
                    except ResultError as error:
                        there = False
                        damaged.append(path)
                        report(path, str(error))
                    if not there:
                        missing.append(site)
                if missing:
                    values = self._compute(model, rows, missing, pad_id)
                    for site, value in values.items():
                        self._write(site, index, value)
                n_computed += len(missing)
                n_kept += len(self.sites) - len(missing)
                progress.advance(len(rows))
        return Filled(n_computed=n_computed, n_kept=n_kept, damaged=tuple(damaged))

    def read(self, site: Site) -> Iterator[Shard]:
        """Activations at a site, shard after shard in the order of the rows, mapped from disk.

        Raises:
            StoreError: The site is not one of the store's, or a shard is missing or damaged.
        """
        if site not in self.sites:
            raise StoreError(
                f"{site} is not among the sites this store was opened with "
                f"({', '.join(map(str, self.sites))}). Open it with that site and fill it."
            )
        return (self._shard(site, index) for index in range(len(self.shards)))

    def tensor(self, site: Site) -> Float[Tensor, "token width"]:
        """Activations of all tokens at a site, in memory.

        Raises:
            StoreError: See `read`.
        """
        return torch.cat([shard.activations for shard in self.read(site)])

    def _shard(self, site: Site, index: int) -> Shard:
        """One shard, if it is there and whole."""
        path = self._path(site, index)
        try:
            values = self._map(site, index)
        except FileNotFoundError:
            raise StoreError(
                f"{path} is not there, so {site} has not been filled to its end. Call fill with "
                "the model."
            ) from None
        except ResultError as error:
            raise StoreError(
                f"{path} is damaged or foreign: {error}. It is not used; call fill with the model "
                "to compute it again."
            ) from error
        rows = self.shards[index]
        row, pos = row_and_pos(rows, [len(self._rows[row]) for row in rows])
        return Shard(activations=values, row=row, pos=pos)

    def _compute(
        self, model: nn.Module, rows: Sequence[int], sites: Sequence[Site], pad_id: int
    ) -> dict[Site, Tensor]:
        """Activations of a shard's rows, one vector a token."""
        own = [self._rows[row] for row in rows]
        where = places([len(row) for row in own])
        dtype = _DTYPES[self._identity["dtype"]]
        found: dict[Site, Tensor] = {}
        max_tokens = int(self._identity["max_tokens"])
        for chunk in stream(
            model, own, sites=sites, pad_id=pad_id, execution=Execution(max_tokens=max_tokens)
        ):
            lengths = [len(own[place]) for place in chunk.rows]
            for site in sites:
                x = vectors(chunk, site, chunk.encoded.real).to(dtype).cpu()
                if not bool(torch.isfinite(x).all()):
                    raise StoreError(
                        f"{site} has values that are not finite as {self._identity['dtype']}, so "
                        "what is kept would be useless. Open the store with dtype=torch.float32, "
                        "and load the model in float32 or bfloat16."
                    )
                whole = found.setdefault(site, x.new_empty(where[-1].stop, x.shape[1]))
                for place, part in zip(chunk.rows, x.split(lengths), strict=True):
                    whole[where[place]] = part
        return found

    def _map(self, site: Site, index: int) -> Tensor:
        """Values of a shard, mapped; all are held against their digest once."""
        path = self._path(site, index)
        state = path.stat()
        seen = (state.st_ino, state.st_size, state.st_mtime_ns)
        values = map_shard(
            path,
            key=shard_key(site, index),
            identity=self._origin(site),
            verify=self._verified.get(path) != seen,
        )
        self._verified[path] = seen
        return values

    def _write(self, site: Site, index: int, values: Tensor) -> None:
        """Write a shard."""
        path = self._path(site, index)
        with disk_errors(path, StoreError):
            write_shard(path, values, key=shard_key(site, index), identity=self._origin(site))

    def _path(self, site: Site, index: int) -> Path:
        """File of a shard."""
        return self.folder / SHARDS / shard_file(site, index)

    def _origin(self, site: Site) -> str:
        """Digest of what a shard's values depend on: weights, ids, site, dtype, sizes."""
        return digest_json({**self._identity, "site": str(site)})
