"""Where a token stands among those that a model may write next."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from elicit.capture import full_logits, plan_chunks
from elicit.pair import Side, device_of

_MAX_TOKENS = 8192


@torch.no_grad()
def first_ranks(side: Side, rows: Sequence[tuple[Sequence[int], int]]) -> Int[Tensor, " row"]:
    """Rank of a token among all that a model may write after a prompt, from 1.

    Equally probable tokens count as more probable, but for the greedy one.

    Args:
        side: The model.
        rows: Token ids of each prompt, and the token.
    """
    ranks = torch.zeros(len(rows), dtype=torch.long)
    device = device_of(side.bridge)
    for places in plan_chunks([len(ids) for ids, _ in rows], _MAX_TOKENS):
        padded = side.alignment.pad([rows[place][0] for place in places], padding="left")
        there = padded.to(device)
        last = torch.tensor([there.ids.shape[1] - 1], device=device)
        logits = full_logits(side.bridge, there.ids, there.mask, there.position_ids, columns=last)[
            :, 0
        ]
        token = torch.tensor([rows[place][1] for place in places], device=device)
        own = logits.gather(1, token[:, None])
        rank = (logits > own).sum(1) + 1
        ties = (logits == own).sum(1) - 1
        rank = torch.where(logits.argmax(-1) == token, rank, rank + ties)
        ranks[torch.tensor(places)] = rank.cpu()
    return ranks
