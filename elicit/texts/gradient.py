"""KL divergence of a lens's prediction from the final one, and its gradient by the lens's state.

Written out by hand, because it is short: the derivative of KL(final‖lens) by a logit is the lens's
probability minus the final one. So no graph ever reaches into a block of logits; only the final
norm, which is as wide as the model, is left to autograd.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.texts.predictions import FLOOR, Final, tile_of
from elicit.texts.readout import Readout


@dataclass(frozen=True, eq=False, kw_only=True)
class KLGradient:
    """A divergence and its derivative."""

    kl: Float[Tensor, " token"]
    """KL(final‖lens), nats; float64."""
    gradient: Float[Tensor, "token d_model"]
    """Derivative of each token's divergence by the state that the final norm reads."""


@torch.no_grad()
def final_kl(
    readout: Readout, state: Float[Tensor, "token d_model"], final: Final
) -> Float[Tensor, " token"]:
    """KL(final‖lens) of each token, nats; float64.

    Args:
        readout: The buffer, with the unembedding that reads the states.
        state: What the final norm reads, as a lens gives it.
        final: The same tokens' final predictions.
    """
    z = readout.project(readout.unembed.norm(state.to(readout.unembed.weight.dtype)))
    return _kl(z, z.amax(0), final)[0]


def final_kl_gradient(
    readout: Readout, state: Float[Tensor, "token d_model"], final: Final
) -> KLGradient:
    """KL(final‖lens) of each token and its derivative by the state.

    Args:
        readout: The buffer, with the unembedding that reads the states.
        state: What the final norm reads, float32; rounded to the unembedding's dtype.
        final: The same tokens' final predictions.
    """
    unembed = readout.unembed
    leaf = state.detach().requires_grad_()
    with torch.enable_grad():
        read = unembed.norm(leaf.to(unembed.weight.dtype))
    with torch.no_grad():
        z = readout.project(read)
        largest = z.amax(0)
        kl, log_total = _kl(z, largest, final)
        shift = largest + log_total.to(z.dtype)
        for rows, probs in zip(*_tiles(z, final.probs), strict=True):
            # A capped logit is flat where the cap is reached.
            flat = None if unembed.softcap is None else (rows / unembed.softcap).square_()
            torch.exp(rows.sub_(shift), out=rows).sub_(probs)
            if flat is not None:
                rows.mul_(flat.neg_().add_(1))
        by_read = _through(unembed.weight, z)
    (gradient,) = torch.autograd.grad(read, leaf, by_read.to(read.dtype))
    return KLGradient(kl=kl, gradient=gradient)


def _kl(
    z: Tensor, largest: Tensor, final: Final
) -> tuple[Float[Tensor, " token"], Float[Tensor, " token"]]:
    """KL(final‖lens), and the log of the sum of exp(logit - largest); logits stay as they are."""
    total = torch.zeros(z.shape[1], dtype=torch.float64, device=z.device)
    expected = torch.zeros_like(total)
    for rows, probs in zip(*_tiles(z, final.probs), strict=True):
        # Where a model forbids an id, 0 times -inf must count 0.
        s = torch.sub(rows, largest).clamp_(min=FLOOR)
        expected += (probs * s).sum(0)
        total += s.exp_().sum(0)
    log_total = total.log()
    return (log_total - expected - final.entropy).clamp_(min=0.0), log_total


def _tiles(z: Tensor, probs: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Rows of two blocks, as many as a tile has."""
    n = max(1, tile_of(z.device) // z.shape[1])
    return z.split(n), probs.split(n)


def _through(weight: Tensor, z: Tensor) -> Float[Tensor, "token d_model"]:
    """Derivative by what the unembedding reads, summed in the blocks' own dtype."""
    if weight.dtype == z.dtype:
        return z.T @ weight
    out = torch.zeros(z.shape[1], weight.shape[1], dtype=z.dtype, device=z.device)
    step = max(1, 2**24 // weight.shape[1])
    for start in range(0, len(weight), step):
        out += z[start : start + step].T @ weight[start : start + step].to(z.dtype)
    return out
