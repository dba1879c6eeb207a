"""Directions between states that were read already, whether their prompts are paired or not."""

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from elicit.directions.errors import DirectionError
from elicit.directions.values import Direction
from elicit.sites import Site

_ROUNDING = 1e-12
"""Share of the activations' length below which a difference of their means is none."""


def between_states(
    states: Float[Tensor, "site row width"],
    positive: Bool[Tensor, " row"],
    *,
    sites: Sequence[Site],
    model: str,
    model_digest: str,
    position: str,
) -> tuple[Direction, ...]:
    """Mean of the positive rows minus that of the others, at every site.

    For states that a question has read for other reasons as well; `diff_mean` reads pairs itself
    and tells how far its directions can be trusted.

    Args:
        states: Activations of one token a row.
        positive: Rows with what the direction stands for.
        sites: Where each site's activations were read.
        model: Model that they are of.
        model_digest: Digest of its weights.
        position: Tokens that were read, in words.

    Raises:
        DirectionError: A side has no row, there are not as many sites as activations, or both
            sides have the same mean somewhere.

    Source: Rimsky et al. 2023, arXiv:2312.06681 (CAA).
    """
    n = int(positive.sum())
    if not 0 < n < len(positive) or len(positive) != states.shape[1] or len(sites) != len(states):
        raise DirectionError(
            f"activations are of {len(states)} sites and {states.shape[1]} rows, and {len(sites)} "
            f"sites and {len(positive)} rows are named, {n} of them positive, so there is no "
            "contrast. Name each site and each row, with rows of both sides."
        )
    difference = states[:, positive].mean(dim=1) - states[:, ~positive].mean(dim=1)
    size = states.norm(dim=-1).mean(dim=1)
    flat = (difference.norm(dim=-1) <= _ROUNDING * size).nonzero()[:, 0].tolist()
    if flat:
        raise DirectionError(
            f"positive and negative prompts leave the same mean state at {sites[flat[0]]}, so "
            "there is no direction between them. Take that site out, or let the prompts differ "
            "before the token that is read."
        )
    return tuple(
        Direction(
            vector=vector.float(),
            site=site,
            model=model,
            model_digest=model_digest,
            how="difference of means",
            position=position,
            norm=vector.norm().item(),
            resid_norm=length.item(),
            n=len(positive),
        )
        for vector, site, length in zip(difference, sites, size, strict=True)
    )
