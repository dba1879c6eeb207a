"""Token sampling: one random stream per row, one random number per token."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def stream_key(seed: int, problem: str, sample: int) -> int:
    """Key of one row's random stream; nothing else about the run changes it.

    Args:
        seed: Seed of the run.
        problem: Problem id of the row.
        sample: Sample number of the row within its problem.
    """
    told = f"{seed}\n{sample}\n{problem}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(told).digest()[:16], "big")


def uniforms(
    keys: Sequence[int], starts: Sequence[int], length: int
) -> Float[Tensor, "row length"]:
    """Uniform random numbers from each row's stream.

    `starts`: numbers of it that were used before.
    """
    streams = [
        np.random.Generator(np.random.Philox(key=key)).random(start + length)[start:]
        for key, start in zip(keys, starts, strict=True)
    ]
    return torch.from_numpy(np.stack(streams))


def draw(
    logits: Float[Tensor, "row d_vocab"],
    *,
    temperature: float,
    top_p: float,
    uniform: Float[Tensor, " row"],
) -> Int[Tensor, " row"]:
    """Draw one token per row by inverse CDF, in double precision.

    `temperature`: above 0. `top_p`: mass of the nucleus: the fewest most probable tokens that
    reach it can be drawn. 1 is all of them.
    """
    wide = logits.to(torch.float64, copy=True)
    # The peak is taken off first, so that no temperature is too small to divide by.
    probs = torch.softmax(wide.sub_(wide.amax(-1, keepdim=True)).div_(temperature), dim=-1)
    if top_p < 1:
        probs = _nucleus(probs, top_p)
    mass = probs.cumsum(-1)
    total = mass[:, -1]
    # Kept below the whole mass: a rounded product must not fall behind the last token.
    wanted = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(mass, wanted[:, None], right=True)[:, 0]


def _nucleus(probs: Float[Tensor, "row d_vocab"], top_p: float) -> Float[Tensor, "row d_vocab"]:
    """Probabilities of the smallest set of most probable tokens with this mass, 0 elsewhere.

    Only values are sorted, which takes an eighth of the time of sorting tokens.
    """
    ordered = _descending(probs)
    before = ordered.cumsum(-1) - ordered
    # One at least, also where the logits are NaN, which the loop over tokens refuses.
    n_inside = (before < top_p).sum(-1, keepdim=True).clamp_(min=1)
    least = ordered.gather(-1, n_inside - 1)
    inside = probs >= least
    # On a CPU the question is cheaper than the answer; a device would be waited for.
    if probs.device.type != "cpu" or bool((inside.sum(-1, keepdim=True) > n_inside).any()):
        # Of tokens that are equally probable, the first ones.
        equal = probs == least
        room = n_inside - (probs > least).sum(-1, keepdim=True)
        inside &= ~equal | (equal.cumsum(-1) <= room)
    return torch.where(inside, probs, 0.0)


def _descending(values: Float[Tensor, "row d_vocab"]) -> Float[Tensor, "row d_vocab"]:
    """Values of each row in descending order."""
    if values.device.type != "cpu":
        return values.sort(dim=-1, descending=True).values
    return torch.from_numpy(np.sort(values.numpy(), axis=-1)[:, ::-1].copy())
