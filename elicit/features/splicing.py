"""Cross-entropy of texts, under edits or without."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch

from elicit.capture import capture
from elicit.capture.stream import plan_chunks
from elicit.edits import Edit, edited
from elicit.features.reading import Rows
from elicit.metrics import log_probs
from elicit.pair.alignment import pad
from elicit.pair.handles import Bridge


def cross_entropy(
    model: Bridge,
    tokens: Rows,
    edits: Sequence[Edit],
    *,
    pad_id: int,
    max_tokens: int,
) -> float:
    """Mean of -log p of every token of a row but its first, nats.

    Args:
        model: A bridge in raw mode.
        tokens: Texts.
        edits: What is done to the model; none leaves it alone.
        pad_id: Id put where a row has no token.
        max_tokens: Most positions in a chunk, padding counted.
    """
    total, n = 0.0, 0
    for places in plan_chunks([len(row) for row in tokens.rows], max_tokens):
        encoded = pad([tokens.rows[i] for i in places], pad_id=pad_id, padding="right")
        with torch.no_grad(), edited(model, edits) if edits else nullcontext():
            logits = capture(model, encoded, at=[], logits=True).logits
        assert logits is not None
        real = encoded.real[:, 1:].to(logits.device)
        goal = encoded.ids[:, 1:].to(logits.device)
        found = log_probs(logits[:, :-1]).gather(-1, goal[..., None])[..., 0]
        total -= float(found[real].double().sum())
        n += int(real.sum())
    return total / n
