"""Where features are most active, and on which tokens, in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features.reading import Rows, blocks
from elicit.features.sae import Sae
from elicit.pair import Bridge, ModelPair
from elicit.runs import Execution


@dataclass(frozen=True, eq=False, kw_only=True)
class Tops:
    """Where some features are most active."""

    value: Float[Tensor, "feature rank"]
    """Largest activations, largest first; 0 where a feature was active less often."""
    index: Int[Tensor, "feature rank"]
    """Number of the token of each."""
    token: Int[Tensor, "feature rank"]
    """Token ids with the largest mean activation, -1 where a feature is active on fewer."""
    token_mean: Float[Tensor, "feature rank"]
    """Mean activation on each of these ids."""
    n_active: Int[Tensor, " feature"]
    """Tokens at which a feature is active."""
    row_max: Float[Tensor, "row feature"]
    """Largest activation in each row; 0 where no token of it counts."""


def find_tops(
    model: Bridge,
    sae: Sae,
    tokens: Rows,
    features: Sequence[int],
    *,
    pair: ModelPair,
    n: int,
    execution: Execution = Execution(),
) -> Tops:
    """Where features are most active in texts.

    Args:
        model: What is read.
        sae: Whose features.
        tokens: Texts.
        features: Which features.
        pair: For its padding.
        n: How many places and token ids are kept of each.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    wanted = list(features)
    ids, kind = tokens.ids.unique(return_inverse=True)
    value = torch.zeros(len(wanted), n)
    index = torch.zeros(len(wanted), n, dtype=torch.long)
    sums = torch.zeros(len(ids), len(wanted), dtype=torch.float64)
    n_active = torch.zeros(len(wanted), dtype=torch.long)
    row_max = torch.zeros(len(tokens.rows), len(wanted))
    for block in blocks(model, sae, tokens, pad_id=pair.alignment.pad_id, execution=execution):
        acts = block.acts[:, wanted].float().cpu()
        n_active += (acts != 0).sum(0)
        sums.index_add_(0, kind[block.index], acts.double())
        rows = tokens.row[block.index][:, None].expand_as(acts)
        row_max.scatter_reduce_(0, rows, acts, "amax")
        both = torch.cat([value, acts.T], dim=1)
        places = torch.cat([index, block.index.expand(len(wanted), -1)], dim=1)
        order = _ranked(both, places)[:, :n]
        value, index = both.gather(1, order), places.gather(1, order)
    count = kind[tokens.counted].bincount(minlength=len(ids))
    mean = (sums / count.clamp(min=1)[:, None]).T.float()
    best = mean.sort(dim=1, descending=True, stable=True)
    short = max(n - len(ids), 0)
    token_mean = torch.nn.functional.pad(best.values[:, :n], (0, short))
    found = torch.nn.functional.pad(ids[best.indices[:, :n]], (0, short))
    return Tops(
        value=value,
        index=index,
        token=torch.where(token_mean > 0, found, -1),
        token_mean=token_mean,
        n_active=n_active,
        row_max=row_max,
    )


def _ranked(value: Tensor, place: Tensor) -> Tensor:
    """Order by value, largest first, and among equals by place, so that chunks change nothing."""
    by_place = place.argsort(dim=1, stable=True)
    order = value.gather(1, by_place).argsort(dim=1, descending=True, stable=True)
    return by_place.gather(1, order)
