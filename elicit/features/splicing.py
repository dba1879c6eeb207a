"""Cross-entropy of texts, under edits or without."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture import capture, plan_chunks
from elicit.edits import Edit, edited
from elicit.features.reading import Rows
from elicit.metrics import log_probs
from elicit.pair import Bridge, pad


def entropy_by_row(
    model: Bridge,
    tokens: Rows,
    edits: Sequence[Edit],
    *,
    pad_id: int,
    max_tokens: int,
) -> tuple[Float[Tensor, " row"], Int[Tensor, " row"]]:
    """Sum over each row's tokens but its first of -log p, nats, and how many they are.

    Args:
        model: A bridge in raw mode.
        tokens: Texts.
        edits: What is done to the model; none leaves it alone.
        pad_id: Id put where a row has no token.
        max_tokens: Most positions in a chunk, padding counted.
    """
    total = torch.zeros(len(tokens.rows), dtype=torch.float64)
    n = torch.tensor([len(row) - 1 for row in tokens.rows])
    # A row of one token has none to predict, and edits that spare the first find nothing in it.
    some = [i for i, row in enumerate(tokens.rows) if len(row) > 1]
    for chosen in plan_chunks([len(tokens.rows[i]) for i in some], max_tokens):
        places = [some[i] for i in chosen]
        encoded = pad([tokens.rows[i] for i in places], pad_id=pad_id, padding="right")
        with torch.no_grad(), edited(model, edits) if edits else nullcontext():
            logits = capture(model, encoded, sites=[], logits=True).logits
        assert logits is not None
        real = encoded.real[:, 1:].to(logits.device)
        goal = encoded.ids[:, 1:].to(logits.device)
        found = log_probs(logits[:, :-1]).gather(-1, goal[..., None])[..., 0]
        # Not a product with the mask: padding may hold what no number is.
        total[places] = -torch.where(real, found.double(), 0.0).sum(1).cpu()
    return total, n


def recovered(
    clean: Float[Tensor, " row"], spliced: Float[Tensor, " row"], zero: Float[Tensor, " row"]
) -> float:
    """Share of what nothing costs that the reconstruction saves: 1 all; NaN: nothing costs none.

    Args:
        clean: Cross-entropy of each row, untouched.
        spliced: With the reconstruction in place of the activation.
        zero: With nothing in its place.
    """
    cost = float((zero - clean).sum())
    return float((zero - spliced).sum()) / cost if cost > 0 else float("nan")
