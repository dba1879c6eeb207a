"""Tokens of outlying norm, a few of which can dominate the variance to explain."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.capture import stream
from elicit.features._reading import Rows
from elicit.features.errors import FeatureError
from elicit.features.sae import Sae
from elicit.pair import Side
from elicit.runs import Execution
from elicit.sites import Site


def without_outliers(
    side: Side, site: Site, rows: Rows, *, times: float, execution: Execution = Execution()
) -> tuple[Bool[Tensor, " token"], float]:
    """Counted tokens that are not outliers, and the norm above which a token is one.

    `times`: tokens above this multiple of the median norm are outliers.

    Raises:
        FeatureError: `times` is not above 1, so half of all tokens would be outliers.
    """
    if not times > 1:
        raise FeatureError(
            f"outliers is {times}, and tokens above this multiple of the median norm are excluded, "
            "which would be half of them. Pass a number above 1; 10 is common."
        )
    norm = torch.zeros(len(rows), dtype=torch.float64)
    for chunk in stream(
        side.bridge,
        rows.rows,
        sites=[site],
        pad_id=side.alignment.pad_id,
        execution=Execution(max_tokens=execution.max_tokens),
    ):
        real = chunk.encoded.real
        x = rearrange(chunk.captured.at[site], "batch pos ... -> batch pos (...)")
        x = x[real.to(x.device)]
        norm[rows.at(chunk, real)] = x.detach().float().norm(dim=-1).double().cpu()
    limit = times * float(norm[rows.counted].median())
    return rows.counted & (norm <= limit), limit


@dataclass(frozen=True, eq=False)
class SplicedUpTo:
    """Splices in the reconstruction, except at outliers."""

    sae: Sae
    limit: float

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """Reconstruction minus activation, 0 at outliers."""
        made = self.sae.reconstruct(x)
        error = made - x.to(made.device)
        return torch.where(x.norm(dim=-1, keepdim=True).to(error) <= self.limit, error, 0.0)
