"""What two models predict at every token of the same texts, a block of predictions at a time."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture import Unembed
from elicit.texts import LogitBuffers, concatenate, model_divergences

N_TOP = 20
"""Most probable tokens over which peakedness is averaged."""


@torch.no_grad()
def read_tokens(
    states: Sequence[Float[Tensor, "token d_model"]],
    following: Int[Tensor, " token"],
    unembeds: Sequence[Unembed],
    buffers: LogitBuffers,
) -> dict[str, Tensor]:
    """Statistics of both models' predictions, on the CPU.

    Args:
        states: Residual stream of each model after its last layer.
        following: The token that stands after each.
        unembeds: What turns each model's states into logits.
        buffers: Blocks of logits, one for each model.

    Returns:
        `log_prob`, `entropy`, `peakedness` and `rank`, `[scorer token]`; `kl_base_post`,
        `kl_post_base` and `jsd`, `[token]`; nats.

    Source: peakedness is the token confidence of Fu et al. 2025, arXiv:2508.15260, eq. 2.
    """
    parts: list[dict[str, Tensor]] = []
    normed = [u.norm(h[None])[0] for u, h in zip(unembeds, states, strict=True)]
    for span in buffers.spans(len(following)):
        token = following[span]
        blocks = [
            readout.project(h[span]) for readout, h in zip(buffers.readouts, normed, strict=True)
        ]
        apart = model_divergences(*blocks)
        each = [_of_model(z, token.to(z.device)) for z in blocks]
        part = {name: torch.stack([one[name].cpu() for one in each]) for name in each[0]}
        for name, value in (
            ("kl_base_post", apart.kl_base_post),
            ("kl_post_base", apart.kl_post_base),
            ("jsd", apart.jsd_base_post),
        ):
            part[name] = value.float().cpu()
        parts.append(part)
    return concatenate(parts)


def _of_model(
    z: Float[Tensor, "d_vocab token"], token: Int[Tensor, " token"]
) -> dict[str, Float[Tensor, " token"] | Int[Tensor, " token"]]:
    """Statistics of one block of logits, which it leaves changed."""
    own = z.gather(0, token[None])[0]
    rank = (z > own).sum(0)
    top = torch.topk(z, min(N_TOP, len(z)), dim=0, sorted=False).values.mean(0)
    largest = z.amax(0)
    z -= largest
    shifted = own - largest
    weights = z.exp()
    total = weights.sum(0, dtype=torch.float64)
    log_total = total.log()
    # Impossible tokens add nothing: 0 times minus infinity is 0 here.
    mean = weights.mul_(z.clamp_(min=-1e25)).sum(0, dtype=torch.float64) / total
    return {
        "log_prob": (shifted.double() - log_total).float(),
        "entropy": (log_total - mean).clamp(min=0).float(),
        "peakedness": (log_total - (top - largest).double()).float(),
        "rank": rank,
    }
