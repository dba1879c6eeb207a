"""Residual streams at the positions that are read."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.capture import CaptureError, Reader, capture, decompose, plan_chunks, read_sites
from elicit.pair import Encoded, pad
from elicit.revision.traces import Traces
from elicit.sites import Site, resid_post, resid_pre


@torch.no_grad()
def residual_states(
    model: nn.Module, traces: Traces, *, n_layers: int, pad_id: int
) -> Float[Tensor, "layer token d_model"]:
    """Residual stream of every layer at the positions that are read.

    Args:
        model: A bridge in raw mode, alone or under edits that hold for all rows.
        traces: Rows that are run as one batch.
        n_layers: Blocks of the model.
        pad_id: Id put where a row has no token.

    Returns:
        First what enters the first block, then what leaves each.

    Raises:
        CaptureError: The model cannot read a row.
    """
    sites = [resid_pre(0), *(resid_post(layer) for layer in range(n_layers))]
    batch = pad(traces.rows, pad_id=pad_id, padding="right")
    Reader(model, sites, logits=False).check(batch.ids, batch.position_ids)
    found = _streams(model, batch.to(next(model.parameters()).device), sites)
    rows, columns = read_places(traces)
    # One after the other, so that whole streams and what is read of them are not held twice.
    return torch.stack([found.pop(site)[rows, columns] for site in sites])


def _streams(model: nn.Module, batch: Encoded, sites: Sequence[Site]) -> dict[Site, Tensor]:
    """Whole residual streams: block by block with fused attention where that is the model's own.

    Source: the lane engine's blocks, which equal a plain forward to rounding and hold no attention
        pattern. What they run past (edits, hooks) or cannot take apart goes through the model.
    """
    try:
        return read_sites(decompose(model), batch, sites)
    except CaptureError:
        return dict(capture(model, batch, sites=sites).at)


def read_places(traces: Traces) -> tuple[Int[Tensor, " token"], Int[Tensor, " token"]]:
    """Row and position of every prediction that is read.

    Args:
        traces: The rows.
    """
    rows = [i for i, positions in enumerate(traces.positions) for _ in positions]
    return torch.tensor(rows), torch.tensor([p for own in traces.positions for p in own])


def chunked(traces: Traces, max_tokens: int) -> Iterator[tuple[list[int], Traces]]:
    """Rows of like length together, with their numbers; chunks without a read token are left out.

    Args:
        traces: All rows.
        max_tokens: Most positions in a chunk, padding counted.
    """
    for places in plan_chunks([len(row) for row in traces.rows], max_tokens):
        part = traces.part(places) if any(traces.positions[i] for i in places) else None
        if part is not None:
            yield places, part
