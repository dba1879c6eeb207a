"""Draw tokens: a random stream for every row, and one number of it for every token."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def stream_key(seed: int, problem: str, sample: int) -> int:
    """Key of one row's random stream, which nothing else about the run changes.

    Args:
        seed: Of the whole run.
        problem: Id of the row's problem.
        sample: Number of the row among those of its problem.
    """
    told = f"{seed}\n{sample}\n{problem}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(told).digest()[:16], "big")


def uniforms(
    keys: Sequence[int], starts: Sequence[int], length: int
) -> Float[Tensor, "row length"]:
    """Uniform numbers of each row's own stream.

    Args:
        keys: Key of each row's stream.
        starts: Numbers of it that were used before.
        length: Numbers wanted of each row.
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
    """One token a row by inverse CDF, in double precision.

    Args:
        logits: Of the next token.
        temperature: Above 0.
        top_p: Mass of the nucleus: the fewest most probable tokens that reach it can be drawn. 1 is
            all of them.
        uniform: One number in [0, 1) a row.
    """
    wide = logits.double()
    # The peak is taken off first, so that no temperature is too small to divide by.
    probs = torch.softmax((wide - wide.amax(-1, keepdim=True)) / temperature, dim=-1)
    if top_p < 1:
        ordered, token = probs.sort(dim=-1, descending=True, stable=True)
        outside = ordered.cumsum(-1) - ordered >= top_p
        probs = probs.scatter(-1, token, ordered.masked_fill(outside, 0.0))
    mass = probs.cumsum(-1)
    total = mass[:, -1]
    # Kept below the whole mass: a rounded product must not fall behind the last token.
    wanted = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(mass, wanted[:, None], right=True)[:, 0]
