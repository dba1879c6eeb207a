"""Confidence of a model's next-token predictions."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import capture
from elicit.pair import pad
from elicit.revision._readers import Reader
from elicit.runs import Execution
from elicit.sites import resid_post
from elicit.stats import mean_by_problem
from elicit.texts import LogitBuffers, TokenRows, read_chunks


@dataclass(frozen=True, eq=False, kw_only=True)
class Confidence:
    """Mean confidence of a model over the positions of each row."""

    certainty: Float[Tensor, " row"]
    """Self-certainty: mean KL(uniform‖prediction), nats; NaN: no position."""
    entropy: Float[Tensor, " row"]
    """Mean entropy of the predictions, nats; NaN: no position."""


def confidence(
    reader: Reader, rows: TokenRows, *, execution: Execution = Execution()
) -> Confidence:
    """Self-certainty and entropy of a model's final predictions, averaged over each row.

    Both use the distribution at temperature 1, whatever the sampling temperature.

    Raises:
        TextError: The budget holds no token, or some logits are not a prediction.
        CaptureError: The model cannot read a row.

    Source: Kang et al. 2025, arXiv:2502.18581: −1/(nV) Σ log(V·p), the mean over tokens of
        KL(uniform‖p) = −log V − mean over the vocabulary of log p.
    """
    site = resid_post(reader.n_layers - 1)
    buffers = LogitBuffers([reader.own], memory=execution.memory)

    @torch.no_grad()
    def read(part: TokenRows) -> dict[str, Tensor]:
        batch = pad(part.rows, pad_id=reader.side.alignment.pad_id, padding="right")
        resid = capture(reader.side.bridge, batch, sites=[site]).at[site][part.index]
        blocks = [
            buffers.settled(lambda span=span: _read_block(buffers, resid[span]))
            for span in buffers.spans(len(resid))
        ]
        return {"confidence": torch.cat(blocks, dim=1)}

    values = read_chunks(
        rows, read, key="confidence", label="reading confidence", execution=execution
    )
    certainty, entropy = mean_by_problem(values["confidence"], rows.index[0], len(rows))
    return Confidence(certainty=certainty, entropy=entropy)


def _read_block(
    buffers: LogitBuffers, resid: Float[Tensor, "token d_model"]
) -> Float[Tensor, "2 token"]:
    """Self-certainty and entropy of one block of tokens."""
    (readout,) = buffers.readouts
    state = readout.unembed.norm(resid)
    z = readout.project(state)
    # Exponentiation overwrites the logits, so their mean is taken first.
    mean = readout.mean_logit(z)
    final = readout.final(state, buffers.probs(z.shape[1]), z=z)
    certainty = final.log_norm.double() - mean - math.log(len(z))
    return torch.stack([certainty, final.entropy])
