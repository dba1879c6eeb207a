"""Final residual streams when one model's stream continues in the other."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.capture import (
    Decomposed,
    Lanes,
    LaneTrunk,
    capture,
    changed,
    run_lanes,
    run_trunk,
    sent,
)
from elicit.edits import Patch, edited, shape_of, window
from elicit.patching._reading import at_columns
from elicit.patching.plan import Batch
from elicit.sites import Site, resid_post

Mixed = tuple[Float[Tensor, "boundary pos row read d_model"], Tensor]
"""Final streams, and whether each can differ from the host's."""


def ends_by_lanes(
    decomposed: tuple[Decomposed, Decomposed],
    batch: Batch,
    span: Int[Tensor, "row pos two"],
    sites: tuple[Site, ...],
    max_tokens: int,
) -> tuple[list[Tensor], list[Mixed]]:
    """Final streams of both models, and of each host with the other's stream patched in.

    `span`: first position of each column and the one after its last.
    """
    trunks = [run_trunk(model, batch.host) for model in decomposed]
    own = [at_columns(trunk.resid[-1], batch.reads) for trunk in trunks]
    mixed = [
        _into(trunks[d], trunks[1 - d], own[d], span, sites, batch.reads, max_tokens)
        for d in (0, 1)
    ]
    return own, mixed


def _into(
    host: LaneTrunk,
    donor: LaneTrunk,
    own: Float[Tensor, "row read d_model"],
    span: Int[Tensor, "row pos two"],
    sites: tuple[Site, ...],
    reads: Int[Tensor, "row read"],
    max_tokens: int,
) -> Mixed:
    n_rows, n_pos = span.shape[:2]
    home, asked = host.resid[0].device, span.device
    span, reads = span.cpu(), reads.cpu()
    row = torch.arange(n_rows).repeat(len(sites) * n_pos)
    low, high = span.transpose(0, 1).reshape(-1, 2).repeat(len(sites), 1).unbind(1)
    group = torch.arange(len(sites)).repeat_interleave(n_pos * n_rows)
    lanes = Lanes(
        row=row,
        low=low,
        high=high,
        group=group,
        groups=tuple((site,) for site in sites),
        source_row=row,
    )
    sources = {site: donor.value(site).to(home) for site in sites}
    moves = changed(host, lanes, sources, reads)
    alive = moves.nonzero()[:, 0]
    resid = own.repeat(len(sites) * n_pos, 1, 1)
    for result in run_lanes(host, lanes.pick(alive), sources, reads, max_tokens=max_tokens):
        (which,) = sent(home, alive[result.lane])
        resid[which] = result.resid
    grid = (len(sites), n_pos, n_rows)
    return resid.unflatten(0, grid), moves.unflatten(0, grid).to(asked)


def ends_by_loop(
    models: tuple[nn.Module, nn.Module],
    batch: Batch,
    span: Int[Tensor, "row pos two"],
    sites: tuple[Site, ...],
) -> tuple[list[Tensor], list[Mixed]]:
    """As `ends_by_lanes`, by one whole forward pass per cell; `models` are bridges."""
    end = resid_post(shape_of(models[0]).n_layers - 1)
    n_rows, n_pos = span.shape[:2]
    kept = [capture(model, batch.host, sites=[*sites, end]).at for model in models]
    mixed = []
    for d in (0, 1):
        found = []
        for site in sites:
            for p in range(n_pos):
                edits = [
                    Patch(
                        site=site,
                        donor=kept[1 - d][site],
                        where=window(int(span[r, p, 0]), int(span[r, p, 1]) - 1),
                        rows=(r,),
                    )
                    for r in range(n_rows)
                ]
                with edited(models[d], edits):
                    there = capture(models[d], batch.host, sites=[end]).at[end]
                found.append(at_columns(there, batch.reads))
        resid = torch.stack(found).unflatten(0, (len(sites), n_pos))
        mixed.append((resid, torch.ones(resid.shape[:3], dtype=torch.bool, device=span.device)))
    return [at_columns(each[end], batch.reads) for each in kept], mixed
