"""Read activations of many rows, one chunk of tokens at a time."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture.engine.decompose import decompose
from elicit.capture.engine.trunk import read_sites
from elicit.capture.errors import CaptureError
from elicit.capture.read import Captured, Reader, check_max_tokens
from elicit.engines import engine_of
from elicit.pair import Encoded, pad
from elicit.runs import Execution
from elicit.sites import Site
from elicit.surroundings import guarded


@dataclass(frozen=True, eq=False, kw_only=True)
class Chunk:
    """Some rows of many, and what was read on them."""

    rows: tuple[int, ...]
    """Number of each row in what was streamed."""
    encoded: Encoded
    """The rows as a padded batch."""
    captured: Captured
    """Activations of the batch."""


def stream(
    model: nn.Module,
    rows: Sequence[Sequence[int]],
    *,
    sites: Sequence[Site],
    pad_id: int,
    execution: Execution = Execution(),
    padding: Literal["left", "right"] = "right",
) -> Iterator[Chunk]:
    """Activations of many rows, a chunk at a time, without gradients.

    Rows of like length share a chunk, the longest first, and only one chunk is held. Input is
    checked at the call, before the first chunk is read. Inside a block of edits it reads what
    the edits left, and each chunk is a run of its own.

    A model without edits or hooks runs block by block, with fused attention, up to the last site:
    equal to its own forward to rounding, and no attention pattern is held.

    Args:
        model: A bridge in raw mode.
        rows: Token ids of each row.
        sites: Sites to read.
        pad_id: Id put where a row has no token.
        execution: Tokens per forward pass, memory, checkpoint and progress.
        padding: Side that is filled up.

    Raises:
        SiteError: The model does not have a site.
        CaptureError: No site is requested, there are no rows, or the model cannot read one.
    """
    reader = Reader(model, sites, logits=False)
    check_max_tokens(execution.max_tokens)
    check_rows(rows)
    every = torch.tensor([i for row in rows for i in row])
    reader.check(every, torch.arange(max(map(len, rows))))
    return _chunks(reader, rows, pad_id, execution, padding)


def check_rows(rows: Sequence[Sequence[int]]) -> None:
    """Refuse rows that hold no token.

    Raises:
        CaptureError: There are no rows, or one is empty.
    """
    empty = [index for index, row in enumerate(rows) if not len(row)]
    if not rows or empty:
        what = f"row {empty[0]} has no token" if empty else "there are no rows"
        raise CaptureError(
            f"{what}, so there is nothing to read there. Pass rows of at least one token."
        )


def plan_chunks(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Row numbers of each chunk: like lengths together, the longest first.

    Args:
        lengths: Tokens of each row.
        max_tokens: Most positions in a chunk, padding counted.
    """
    chunks: list[list[int]] = []
    width = 0
    # The longest first: what does not fit in memory fails at once, not after hours.
    for row in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not chunks or (len(chunks[-1]) + 1) * width > max_tokens:
            chunks.append([])
            width = lengths[row]
        chunks[-1].append(row)
    return chunks


@guarded
def _chunks(
    reader: Reader,
    rows: Sequence[Sequence[int]],
    pad_id: int,
    execution: Execution,
    padding: Literal["left", "right"],
) -> Iterator[Chunk]:
    """The chunks of checked rows."""
    execution.progress.start(len(rows), "reading activations")
    try:
        for places in plan_chunks([len(row) for row in rows], execution.max_tokens):
            encoded = pad([rows[i] for i in places], pad_id=pad_id, padding=padding)
            encoded = encoded.to(reader.device)
            # Not around the yield: the caller's code keeps its own mode.
            with torch.no_grad():
                captured = _read(reader, encoded)
            yield Chunk(rows=tuple(places), encoded=encoded, captured=captured)
            # Unnamed, the chunk is freed before the next one is read.
            del captured, encoded
            execution.progress.advance(len(places))
    finally:
        execution.progress.stop()


def _read(reader: Reader, encoded: Encoded) -> Captured:
    """One chunk: block by block, or with edits or hooks through the model."""
    if engine_of(reader.model) is None and all(site.kind != "pattern" for site in reader.sites):
        # Decomposed anew for each chunk: between two of them the caller may have added a hook.
        with suppress(CaptureError):
            at = read_sites(decompose(reader.model), encoded, reader.sites)
            return Captured(at={site: _of_head(at[site.whole], site) for site in reader.sites})
    return reader.read(encoded, part=True)


def _of_head(value: Float[Tensor, "batch pos ..."], site: Site) -> Float[Tensor, "batch pos ..."]:
    """The part of a whole site that a site names."""
    return value if site.head is None else value[:, :, site.head]
