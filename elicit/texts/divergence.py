"""Divergences between two models' predictions for the same tokens."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.texts.predictions import FLOOR, LN2, tile_of


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelDivergences:
    """Divergences between two models' predictions; exactly 0 where their logits are equal."""

    kl_base_post: Float[Tensor, " token"]
    """KL(base‖post), nats."""
    kl_post_base: Float[Tensor, " token"]
    """KL(post‖base), nats."""
    jsd_base_post: Float[Tensor, " token"]
    """Jensen-Shannon divergence, nats in [0, ln 2]."""


def model_divergences(
    base: Float[Tensor, "d_vocab token"], post: Float[Tensor, "d_vocab token"]
) -> ModelDivergences:
    """Divergences between two blocks of logits, tile by tile; neither is changed.

    Args:
        base: Logits of one model.
        post: Logits of the other for the same tokens; from another device they come over.
    """
    post = post.to(base.device)
    tile = max(1, tile_of(base.device) // base.shape[1])
    tops = base.amax(0), post.amax(0)
    totals = [
        torch.stack([(rows - top).exp().sum(0) for rows in z.split(tile)]).double().sum(0)
        for z, top in zip((base, post), tops, strict=True)
    ]
    # Log-probabilities differ by this beside what their logits, less the largest, differ by.
    scale = (totals[0].log() - totals[1].log()).to(base.dtype)
    sums = torch.zeros(3, base.shape[1], dtype=torch.float64, device=base.device)
    lost = torch.zeros(2, base.shape[1], dtype=torch.bool, device=base.device)
    shares = [total.reciprocal().to(base.dtype) for total in totals]
    for rows, others in zip(base.split(tile), post.split(tile), strict=True):
        a, b = rows - tops[0], others - tops[1]
        p, q = a.exp().mul_(shares[0]), b.exp().mul_(shares[1])
        lost[0] |= ((b == -torch.inf) & (p > 0)).any(0)
        lost[1] |= ((a == -torch.inf) & (q > 0)).any(0)
        apart = a.clamp_(min=FLOOR).sub_(b.clamp_(min=FLOOR)).sub_(scale)
        sums[0] += (p * apart).sum(0)
        sums[1] -= (q * apart).sum(0)
        mean = (p + q).clamp_(min=torch.finfo(p.dtype).tiny).log_().sub_(LN2)
        sums[2] += (p * _log(p).sub_(mean) + q * _log(q).sub_(mean)).sum(0) / 2
    same = (sums[0] == 0) & (sums[1] == 0)
    jsd = torch.where(same, 0.0, sums[2].clamp(0.0, LN2))
    kls = torch.where(lost, torch.inf, sums[:2].clamp(min=0.0)).to(base.dtype)
    return ModelDivergences(
        kl_base_post=kls[0], kl_post_base=kls[1], jsd_base_post=jsd.to(base.dtype)
    )


def _log(p: Tensor) -> Tensor:
    """Logarithm, finite where there is no mass."""
    return p.clamp(min=torch.finfo(p.dtype).tiny).log_()
