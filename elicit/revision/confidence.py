"""How sure a model is of its next tokens, from its own final predictions, a block at a time."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import capture
from elicit.pair import pad
from elicit.revision.reading import TILE, tokens_per_block
from elicit.revision.readout import Readout
from elicit.revision.sides import Side
from elicit.revision.states import chunked, read_places
from elicit.revision.summing import by_problem
from elicit.revision.traces import Traces
from elicit.runs import Execution
from elicit.sites import resid_post


@dataclass(frozen=True, eq=False, kw_only=True)
class Confidence:
    """How sure a model is at the positions of each trace, on average."""

    certainty: Float[Tensor, " trace"]
    """Self-certainty: mean KL(uniform‖prediction), nats; NaN where nothing is read."""
    entropy: Float[Tensor, " trace"]
    """Mean entropy of the predictions, nats; NaN where nothing is read."""


def confidence(
    side: Side, traces: Traces, *, n_layers: int, pad_id: int, execution: Execution = Execution()
) -> Confidence:
    """Self-certainty and entropy of a model's own predictions, averaged over each trace.

    Both are of the distribution at temperature 1, whatever the text was sampled at.

    Args:
        side: The model.
        traces: Rows and where they are read.
        n_layers: Blocks of the model.
        pad_id: Id put where a row has no token.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        RevisionError: The budget holds no token, or some logits are no prediction.
        CaptureError: The model cannot read a row.

    Source: Kang et al. 2025, arXiv:2502.18581: −1/(nV) Σ log(V·p), the mean over tokens of
        KL(uniform‖p) = −log V − mean over the vocabulary of log p.
    """
    reader = _Reader(side, n_layers, budget=execution.memory)
    cells, progress = execution.checkpoint, execution.progress
    row, _ = read_places(traces)
    values = torch.empty(2, len(row), dtype=torch.float64)
    progress.start(len(traces), "reading confidence")
    try:
        for number, (places, part) in enumerate(chunked(traces, execution.max_tokens)):
            found = cells.get_or_compute(
                f"confidence/{number}", lambda part=part: reader.read(part, pad_id)
            )
            # Positions of a row stand together, in order.
            at = torch.cat([(row == i).nonzero()[:, 0] for i in places])
            values[0, at], values[1, at] = found["certainty"], found["entropy"]
            progress.advance(len(places))
    finally:
        progress.stop()
    certainty, entropy = by_problem(values, row, len(traces))
    return Confidence(certainty=certainty, entropy=entropy)


class _Reader:
    """Reads chunks of rows at their last layer; its room for blocks of logits is taken once."""

    def __init__(self, side: Side, n_layers: int, *, budget: int) -> None:
        self.side, self.site = side, resid_post(n_layers - 1)
        itemsize = 8 if side.own.weight.dtype == torch.float64 else 4
        self.n_tokens = tokens_per_block(
            side.own.d_vocab, budget=budget, buffers=2, itemsize=itemsize
        )
        self.room = Readout(side.own, self.n_tokens)
        self.probs = torch.empty_like(self.room.flat)

    @torch.no_grad()
    def read(self, traces: Traces, pad_id: int) -> dict[str, Tensor]:
        """Certainty and entropy of every prediction of one chunk."""
        batch = pad(traces.rows, pad_id=pad_id, padding="right")
        rows, columns = read_places(traces)
        resid = capture(self.side.model, batch, sites=[self.site]).at[self.site][rows, columns]
        blocks = [self._block(part) for part in resid.split(self.n_tokens)]
        certainty, entropy = torch.cat(blocks, dim=1).cpu()
        return {"certainty": certainty, "entropy": entropy}

    def _block(self, resid: Float[Tensor, "token d_model"]) -> Float[Tensor, "2 token"]:
        """The same of one block of tokens."""
        state = self.side.own.norm(resid)
        z = self.room.project(state)
        total = torch.zeros(z.shape[1], dtype=torch.float64, device=z.device)
        for part in z.split(max(1, TILE // z.shape[1])):
            total += part.double().sum(0)
        # The logits are gone once they are exponentiated, so their mean is taken before.
        final = self.room.final(state, self.probs[: z.numel()].view(z.shape), z=z)
        certainty = final.log_norm.double() - total / len(z) - math.log(len(z))
        return torch.stack([certainty, final.entropy])
