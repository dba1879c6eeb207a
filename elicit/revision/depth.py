"""Settling depths from divergences: numbers in, numbers out."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.revision.convention import DepthConvention
from elicit.revision.errors import RevisionError


def settling_depth(
    jsd: Float[Tensor, "layer ..."], convention: DepthConvention
) -> Int[Tensor, "..."]:
    """Layer at which each prediction settles on the final one.

    Args:
        jsd: Divergence of every state's prediction from the final one, nats: the embedding's first,
            then that after each block. The last is the final one and is not looked at.
        convention: What settled means.

    Returns:
        Layers run, from the first depth counted to n_layers; n_layers means that nothing before the
        end is settled.

    Raises:
        RevisionError: There are no layers, or a value is not a divergence.

    Source: Chen et al. 2026, arXiv:2602.13517, Alg. 1, for `first_hit`: the running minimum there
        reaches the threshold at the same layer as the divergence itself.
    """
    if len(jsd) < 2:
        raise RevisionError(
            f"there are divergences of {len(jsd)} states, and a depth needs the embedding's and "
            "each block's. Pass one row a state."
        )
    if bool(jsd.isnan().any()) or bool((jsd < 0).any()):
        raise RevisionError(
            "some divergence is NaN or negative, so no depth can be read from them. Pass "
            "Jensen-Shannon divergences in nats."
        )
    n_layers, first = len(jsd) - 1, convention.first_layer
    near = jsd[first:n_layers] <= convention.nats
    layers = torch.arange(first, n_layers, device=jsd.device).view(-1, *[1] * (jsd.ndim - 1))
    if convention.reading == "first_hit":
        return torch.where(near, layers, n_layers).amin(0) if len(near) else _last(jsd)
    return torch.where(near, first, layers + 1).amax(0) if len(near) else _last(jsd)


def _last(jsd: Tensor) -> Tensor:
    return torch.full(jsd.shape[1:], len(jsd) - 1, device=jsd.device)


def deep_tokens(
    jsd: Float[Tensor, "layer ..."], convention: DepthConvention
) -> Bool[Tensor, "..."]:
    """Whether each token's prediction settles deep, at a depth of ⌈ρL⌉ layers or more.

    Args:
        jsd: As for `settling_depth`.
        convention: What settled and deep mean.

    Raises:
        RevisionError: As for `settling_depth`, or every token would be deep.
    """
    return settling_depth(jsd, convention) >= convention.deep_from(len(jsd) - 1)
