"""Cross-entropy of texts, with and without edits."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture import capture, plan_chunks
from elicit.edits import Edit, edited
from elicit.features._reading import Rows
from elicit.metrics import log_probs
from elicit.pair import Side
from elicit.runs import Execution


def entropy_by_row(
    side: Side, tokens: Rows, edits: Sequence[Edit], *, execution: Execution = Execution()
) -> tuple[Float[Tensor, " row"], Int[Tensor, " row"]]:
    """Summed cross-entropy of each row without its first token, nats, and number of tokens."""
    total = torch.zeros(len(tokens.rows), dtype=torch.float64)
    n = torch.tensor([len(row) - 1 for row in tokens.rows])
    # A row of one token predicts none, and edits may not apply to its first token.
    scored = [i for i, row in enumerate(tokens.rows) if len(row) > 1]
    for chosen in plan_chunks([len(tokens.rows[i]) for i in scored], execution.max_tokens):
        index = [scored[i] for i in chosen]
        encoded = side.alignment.pad([tokens.rows[i] for i in index], padding="right")
        with torch.no_grad(), edited(side.bridge, edits) if edits else nullcontext():
            logits = capture(side.bridge, encoded, sites=[], logits=True).logits
        assert logits is not None
        real = encoded.real[:, 1:].to(logits.device)
        goal = encoded.ids[:, 1:].to(logits.device)
        result = log_probs(logits[:, :-1]).gather(-1, goal[..., None])[..., 0]
        # Not a product with the mask: padding may hold NaN.
        total[index] = -torch.where(real, result.double(), 0.0).sum(1).cpu()
    return total, n


def recovered(
    clean: Float[Tensor, " row"], spliced: Float[Tensor, " row"], zero: Float[Tensor, " row"]
) -> float:
    """Share of the zero-ablation loss that the reconstruction recovers; NaN if there is no loss."""
    cost = float((zero - clean).sum())
    return float((zero - spliced).sum()) / cost if cost > 0 else float("nan")
