"""How well a score of a sample tells whether it is right, within problems and over all of them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.revision.summing import over_problems
from elicit.stats import Inference

_FEWEST = 2
"""Problems without which nothing says how much problems differ."""
_UNKNOWN = (math.nan, math.nan, math.nan)
_ROUNDING = 1e-12
"""Share of a sum of squares below which a variance is rounding."""


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What a score tells of correctness, with the ends of its intervals."""

    n_mixed: int
    """Problems that have right and wrong samples, over which the AUROC is averaged."""
    auroc: tuple[float, float, float]
    """Value, low, high; NaN where they are not known."""
    r: tuple[float, float, float]
    """Value, low, high; NaN where they are not known."""


def auroc(score: Float[Tensor, " sample"], correct: Bool[Tensor, " sample"]) -> float:
    """Chance that a right sample has the higher score than a wrong one, equal ones counted half.

    Args:
        score: Of each sample; those without one (NaN) are left out.
        correct: Whether it is right.

    Returns:
        In [0, 1]; NaN where all samples are right, or all wrong.
    """
    known = ~score.isnan()
    good, bad = score[known & correct], score[known & ~correct]
    if not len(good) or not len(bad):
        return math.nan
    over, equal = good[:, None] > bad, good[:, None] == bad
    return float((over.double() + equal.double() / 2).mean())


def telling(
    score: Float[Tensor, "problem sample"],
    correct: Bool[Tensor, "problem sample"],
    *,
    inference: Inference = Inference(),
) -> Telling:
    """AUROC within problems and pooled correlation of a score with correctness.

    Args:
        score: Of each sample; those without one (NaN) are left out.
        correct: Whether it is right.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    own = torch.tensor(
        [auroc(s, c) for s, c in zip(score.double(), correct, strict=True)], dtype=torch.float64
    )
    mixed = own[~own.isnan()]
    found = _UNKNOWN
    if len(mixed):
        ends = over_problems(mixed, inference=inference)
        found = (ends[0].item(), ends[1].item(), ends[2].item())
    r = _point_biserial(score.double(), correct, inference=inference)
    return Telling(n_mixed=len(mixed), auroc=found, r=r)


def _point_biserial(
    score: Float[Tensor, "problem sample"],
    correct: Bool[Tensor, "problem sample"],
    *,
    inference: Inference = Inference(),
) -> tuple[float, float, float]:
    """Correlation over all samples, with the percentiles of resampled problems."""
    known = ~score.isnan()
    if not bool(known.any()):
        return _UNKNOWN
    # About the mean of all, or the sums of squares would lose what is left of them.
    x = torch.where(known, score - score[known].mean(), 0.0)
    y = torch.where(known, correct.double() - correct[known].double().mean(), 0.0)
    sums = torch.stack([known.double(), x, y, x * x, y * y, x * y]).sum(-1).T.numpy()
    value = float(_correlation(sums.sum(0)))
    if len(sums) < _FEWEST:
        return value, math.nan, math.nan
    rng = np.random.default_rng(inference.seed)
    drawn = [
        _correlation(sums[rng.integers(len(sums), size=len(sums))].sum(0))
        for _ in range(inference.n_resamples)
    ]
    drawn = np.array(drawn)[np.isfinite(drawn)]
    if not len(drawn):
        return value, math.nan, math.nan
    low, high = np.quantile(drawn, [(1 - inference.level) / 2, (1 + inference.level) / 2])
    return value, float(low), float(high)


def _correlation(sums: np.ndarray) -> float:
    """Pearson's r from the number of samples and their sums; NaN where one side never varies."""
    n, x, y, xx, yy, xy = sums
    along, across = n * xx - x * x, n * yy - y * y
    # What is left of equal values is rounding.
    varies = along > _ROUNDING * n * xx and across > _ROUNDING * n * yy
    return float((n * xy - x * y) / np.sqrt(along * across)) if varies else math.nan
