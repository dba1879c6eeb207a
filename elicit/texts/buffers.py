"""Buffers for blocks of logits, allocated once and within one memory budget."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import Unembed
from elicit.texts._checks import settled
from elicit.texts.predictions import tokens_per_block
from elicit.texts.readout import Readout

T = TypeVar("T")


class LogitBuffers:
    """One block of logits for each unembedding, and blocks of final probabilities."""

    def __init__(
        self,
        unembeds: Sequence[Unembed],
        *,
        memory: int,
        n_finals: int = 1,
        n_tokens: int | None = None,
    ) -> None:
        """Allocate the buffers.

        `n_finals`: blocks of final probabilities that are held at once. `n_tokens`: tokens that
        there are; a block is never larger.

        Raises:
            TextError: The budget does not hold a single token.
        """
        weight = unembeds[0].weight
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        self.d_vocab = max(unembed.d_vocab for unembed in unembeds)
        fits = tokens_per_block(
            self.d_vocab, memory=memory, buffers=len(unembeds) + n_finals, itemsize=dtype.itemsize
        )
        self.n_tokens = fits if n_tokens is None else min(fits, n_tokens)
        self.readouts = tuple(Readout(unembed, self.n_tokens) for unembed in unembeds)
        size = self.d_vocab * self.n_tokens
        homes = [unembed.weight.device for unembed in unembeds]
        self._probs = [
            # Of several models, each where its logits are.
            torch.empty(size, dtype=dtype, device=homes[i % len(homes)])
            for i in range(n_finals)
        ]

    def probs(self, n: int, *, i: int = 0) -> Float[Tensor, "d_vocab token"]:
        """A buffer for the final probabilities of `n` tokens.

        Args:
            n: Tokens, at most `n_tokens`.
            i: Which of the buffers.
        """
        return self._probs[i][: self.d_vocab * n].view(self.d_vocab, n)

    def settled(self, compute: Callable[[], T]) -> T:
        """What is computed of one block, checked as a whole at its end instead of layer by layer.

        Args:
            compute: Reads one block through these buffers; called again if it met -inf.

        Raises:
            TextError: Some prediction is not a distribution.
        """
        return settled([readout.checks for readout in self.readouts], compute)

    def spans(self, n: int) -> Iterator[slice]:
        """Blocks that `n` tokens are read in."""
        return (slice(start, start + self.n_tokens) for start in range(0, n, self.n_tokens))
