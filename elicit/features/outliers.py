"""Tokens of outlying norm, of which a few can hide how well an SAE holds all others."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.capture import stream
from elicit.features.errors import FeatureError
from elicit.features.reading import Rows
from elicit.features.sae import Sae
from elicit.pair import Bridge
from elicit.runs import Execution
from elicit.sites import Site


def usual_norm(
    model: Bridge, site: Site, rows: Rows, *, times: float, pad_id: int, max_tokens: int
) -> tuple[Bool[Tensor, " token"], float]:
    """Which tokens count and are no outliers, and the largest norm that is none.

    Args:
        model: A bridge in raw mode.
        site: Where norms are taken.
        rows: Texts.
        times: How many times the median norm is still usual.
        pad_id: Id put where a row has no token.
        max_tokens: Most positions in a chunk, padding counted.

    Raises:
        FeatureError: `times` is not above 1, so that half of all tokens would be outliers.
    """
    if not times > 1:
        raise FeatureError(
            f"outliers is {times}, and tokens above that many times the median norm are left out, "
            "so half of all would be. Pass a number above 1; 10 is usual."
        )
    norm = torch.zeros(len(rows), dtype=torch.float64)
    for chunk in stream(
        model, rows.rows, sites=[site], pad_id=pad_id, execution=Execution(max_tokens=max_tokens)
    ):
        real = chunk.encoded.real
        x = chunk.captured.at[site].flatten(2)[real.to(chunk.captured.at[site].device)]
        norm[rows.at(chunk, real)] = x.detach().float().norm(dim=-1).double().cpu()
    limit = times * float(norm[rows.counted].median())
    return rows.counted & (norm <= limit), limit


@dataclass(frozen=True, eq=False)
class SplicedUpTo:
    """The reconstruction in place of the activation, where that is of no outlying norm."""

    sae: Sae
    limit: float

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """The reconstruction's error with its sign turned, 0 at outliers."""
        made = self.sae.reconstruct(x)
        error = made - x.to(made.device)
        return torch.where(x.norm(dim=-1, keepdim=True).to(error) <= self.limit, error, 0.0)
