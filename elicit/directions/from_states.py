"""Mean-difference directions from activations already read, paired or not."""

from collections.abc import Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from elicit.directions.errors import DirectionError
from elicit.directions.values import Direction
from elicit.sites import Site

_ROUNDING = 1e-12
"""Share of the activation norm below which a mean difference counts as zero."""


def between_states(
    states: Float[Tensor, "site row width"],
    positive: Bool[Tensor, " row"],
    *,
    sites: Sequence[Site],
    model: str,
    model_digest: str,
    position: str,
) -> tuple[Direction, ...]:
    """Mean activation of positive rows minus that of the others, at every site.

    For activations that are needed elsewhere too; `diff_mean` reads pairs itself and reports the
    reliability of its directions.

    Args:
        states: Activations at one token per row.
        positive: Which rows are positive.
        sites: Sites of the activations.
        model: Name of the model that was read.
        model_digest: Digest of its weights.
        position: Description of the tokens read.

    Raises:
        DirectionError: A side has no rows, counts do not match, or both sides have the same mean
            at a site.

    Source: Rimsky et al. 2023, arXiv:2312.06681 (CAA).
    """
    n = int(positive.sum())
    if not 0 < n < len(positive) or len(positive) != states.shape[1] or len(sites) != len(states):
        raise DirectionError(
            f"activations are of {len(states)} sites and {states.shape[1]} rows, but there are "
            f"{len(sites)} sites and {len(positive)} row labels, {n} of them positive, so there is "
            "no contrast. Pass one site and one label for each, with rows of both sides."
        )
    difference = states[:, positive].mean(dim=1) - states[:, ~positive].mean(dim=1)
    size = states.norm(dim=-1).mean(dim=1)
    flat = (difference.norm(dim=-1) <= _ROUNDING * size).nonzero()[:, 0].tolist()
    if flat:
        raise DirectionError(
            f"positive and negative prompts have the same mean activation at {sites[flat[0]]}, so "
            "there is no direction between them. Leave that site out, or pass prompts that differ "
            "before the token read."
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
