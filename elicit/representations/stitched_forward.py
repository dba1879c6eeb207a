"""Forward passes of stitched models: lower layers, a map, the other's upper layers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture import CrossMoments, logits_at, plan_chunks, record, run_layers
from elicit.pair import device_of, pad
from elicit.representations.linear_maps import MAPS, Affine
from elicit.representations.paired_activations import PairedTokens
from elicit.runs import Execution
from elicit.sites import Site


@dataclass(frozen=True, eq=False)
class Errors:
    """Sums of squared errors over the tokens of each row."""

    missed: Float[Tensor, "direction row map site"]
    """Squared error of every map."""
    variance: Float[Tensor, "direction row 1 site"]
    """Squared deviation of its target."""


@dataclass(frozen=True, eq=False)
class Losses:
    """Cross-entropy in nats, summed over the predicted tokens of each row."""

    stitched: Float[Tensor, "row map site"]
    """Loss of every stitched model."""
    own: Float[Tensor, "row 1 1"]
    """Loss of the unstitched upper model."""


def errors_of(
    test: PairedTokens,
    moments: Sequence[CrossMoments],
    maps: list[list[dict[str, Affine]]],
    n_rows: int,
) -> Errors:
    """Squared error of every map and squared deviation of its target, summed by row."""
    shape = (len(maps), n_rows, len(MAPS), len(moments))
    errors = torch.zeros(shape, dtype=torch.float64)
    variance = torch.zeros(shape[0], n_rows, 1, shape[3], dtype=torch.float64)
    for result in test:
        for site, (x, y) in enumerate(zip(result.x, result.y, strict=True)):
            sides = (x.double(), y.double(), moments[site].y.mean)
            other = (y.double(), x.double(), moments[site].x.mean)
            for way, (have, want, mean) in enumerate((sides, other)):
                variance[way, :, 0, site].index_add_(0, result.row, (want - mean).square().sum(1))
                for index, name in enumerate(MAPS):
                    missed = (want - maps[way][site][name](have)).square().sum(1)
                    errors[way, :, index, site].index_add_(0, result.row, missed)
    return Errors(errors, variance)


@torch.no_grad()
def run_stitched(
    lower: nn.Module,
    upper: nn.Module,
    rows: Sequence[Sequence[int]],
    sites: Sequence[Site],
    maps: Sequence[dict[str, Affine]],
    *,
    pad_id: int,
    execution: Execution = Execution(),
) -> Losses:
    """Cross-entropy of every stitched model and of the unstitched upper one, summed by row."""
    result = torch.zeros(len(rows), len(MAPS), len(sites), dtype=torch.float64)
    own = torch.zeros(len(rows), 1, 1, dtype=torch.float64)
    device = device_of(upper)
    execution.progress.start(len(rows), "running stitched layers")
    for indices in plan_chunks([len(row) for row in rows], execution.max_tokens):
        batch = pad([rows[i] for i in indices], pad_id=pad_id, padding="right").to(device)
        inputs = (batch.ids, batch.mask, batch.position_ids)
        below, above = record(lower, *inputs), record(upper, *inputs)
        # Tokens from the third on are predicted: the second depends on the first alone.
        line, pos = batch.real[:, 2:].nonzero(as_tuple=True)
        pos = pos + 1
        which = torch.tensor(indices, device=device)[line].cpu()

        def losses(
            resid: Tensor, line: Tensor = line, pos: Tensor = pos, ids: Tensor = batch.ids
        ) -> Tensor:
            logits = logits_at(upper, resid, line, pos)
            log_probs = torch.log_softmax(logits.float(), dim=-1)
            return -log_probs.gather(-1, ids[line, pos + 1][:, None])[:, 0].double().cpu()

        own[:, 0, 0].index_add_(0, which, losses(above.resid[-1]))
        for site, here in enumerate(sites):
            first = here.layer + (here.kind == "resid_post")
            for index, name in enumerate(MAPS):
                resid = maps[site][name](below.resid[first].double()).to(above.resid[first])
                resid[:, 0] = above.resid[first][:, 0]
                value = losses(run_layers(upper, above, resid, first=first))
                result[:, index, site].index_add_(0, which, value)
        execution.progress.advance(len(indices))
    execution.progress.stop()
    return Losses(result, own)
