"""Residual streams of every layer at the positions that are read."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture import CaptureError, Reader, capture, decompose, plan_chunks, read_sites, sent
from elicit.pair import Encoded, Side, device_of, pad
from elicit.sites import Site, resid_post, resid_pre
from elicit.texts.rows import TokenRows


@torch.no_grad()
def residual_states(
    side: Side, rows: TokenRows, *, n_layers: int
) -> Float[Tensor, "layer token d_model"]:
    """Residual stream of every layer at the positions that are read.

    Args:
        side: The model, alone or under edits that hold for all rows.
        rows: Rows that are run as one batch.
        n_layers: Blocks of the model.

    Returns:
        First what enters the first block, then what leaves each.

    Raises:
        CaptureError: The model cannot read a row.
    """
    sites = [resid_pre(0), *(resid_post(layer) for layer in range(n_layers))]
    return _states(side, rows, sites)


@torch.no_grad()
def last_states(side: Side, rows: TokenRows, *, n_layers: int) -> Float[Tensor, "token d_model"]:
    """Residual stream after the last layer at the positions that are read.

    Args:
        side: The model, alone or under edits that hold for all rows.
        rows: Rows that are run as one batch.
        n_layers: Blocks of the model.

    Raises:
        CaptureError: The model cannot read a row.
    """
    return _states(side, rows, [resid_post(n_layers - 1)])[0]


def _states(
    side: Side, rows: TokenRows, sites: Sequence[Site]
) -> Float[Tensor, "site token d_model"]:
    batch = pad(rows.rows, pad_id=side.alignment.pad_id, padding="right")
    model = side.bridge
    Reader(model, sites, logits=False).check(batch.ids, batch.position_ids)
    streams = _streams(model, batch.to(device_of(model)), sites)
    row, pos = sent(streams[sites[0]].device, *rows.index)
    # One after the other, so that whole streams and what is read of them are not held twice.
    return torch.stack([streams.pop(site)[row, pos] for site in sites])


def _streams(model: nn.Module, batch: Encoded, sites: Sequence[Site]) -> dict[Site, Tensor]:
    """Whole residual streams: block by block with fused attention where that is the model's own.

    Source: the lane engine's blocks, which equal a plain forward to rounding and store no attention
        pattern. Edits, hooks and models that it cannot decompose go through the model itself.
    """
    try:
        return read_sites(decompose(model), batch, sites)
    except CaptureError:
        return dict(capture(model, batch, sites=sites).at)


def chunked(rows: TokenRows, max_tokens: int) -> Iterator[tuple[list[int], TokenRows]]:
    """Rows of similar length together, with their numbers; chunks without a position are left out.

    Args:
        rows: All rows.
        max_tokens: Most positions in a chunk, padding counted.
    """
    for numbers in plan_chunks([len(row) for row in rows.rows], max_tokens):
        part = rows.part(numbers) if any(rows.positions[i] for i in numbers) else None
        if part is not None:
            yield numbers, part
