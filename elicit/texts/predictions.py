"""Statistics of a block of predictions, and how many tokens a block holds."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.texts.errors import TextError

LN2 = math.log(2.0)
_TILE = 2**17
"""Entries worked on at once on a CPU: three such tiles of float32 fit a core's cache."""
_LARGE_TILE = 2**24
"""The same elsewhere, where each tile costs some ten launches and none fits a cache."""
FLOOR = -1e25
"""Stands for -inf below the largest logit: exp of it is 0, and 0 times it is 0."""
MOST_TOKENS = 1024
"""Tokens in a block: beyond this the matrix product gains nothing."""


def tile_of(device: torch.device) -> int:
    """Entries of a block of logits that are worked on at once.

    Args:
        device: Where the block is.
    """
    return _TILE if device.type == "cpu" else _LARGE_TILE


@dataclass(frozen=True, eq=False, kw_only=True)
class Final:
    """A model's final predictions, which its layers are compared with."""

    probs: Float[Tensor, "d_vocab token"]
    """Probabilities."""
    entropy: Float[Tensor, " token"]
    """Entropy, nats; float64."""
    top: Int[Tensor, " token"]
    """Most probable id."""
    top_prob: Float[Tensor, " token"]
    """Its probability."""
    log_norm: Float[Tensor, " token"]
    """Logarithm of the sum of the exponentials of all logits: log-probability is logit minus it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """A layer's predictions, and their divergence from the final ones."""

    jsd: Float[Tensor, " token"]
    """Jensen-Shannon divergence from the final prediction, nats in [0, ln 2]."""
    kl: Float[Tensor, " token"]
    """KL(final‖layer), nats."""
    entropy: Float[Tensor, " token"]
    """Entropy of the layer's prediction, nats."""
    rank: Int[Tensor, " token"]
    """Ids that the layer ranks above the final prediction's first; 0: it agrees."""
    prob: Float[Tensor, " token"]
    """Probability that the layer gives the final prediction's first."""
    log_norm: Float[Tensor, " token"]
    """As of the final predictions."""


def tokens_per_block(d_vocab: int, *, memory: int, buffers: int, itemsize: int = 4) -> int:
    """Tokens in a block whose buffers stay within a memory budget.

    Args:
        d_vocab: Ids read.
        memory: Bytes that all buffers together may take.
        buffers: How many blocks are held at once.
        itemsize: Bytes of one entry.

    Raises:
        TextError: Not even one token fits.
    """
    fits = memory // (d_vocab * buffers * itemsize)
    if fits < 1:
        raise TextError(
            f"the budget is {memory:,} bytes and one token takes "
            f"{d_vocab * buffers * itemsize:,} ({buffers} rows of {d_vocab:,} ids), so no "
            "prediction could be held. Pass a larger memory budget."
        )
    # Whole vectors of a core's registers in every row.
    return min(MOST_TOKENS, fits if fits < 16 else fits // 16 * 16)
