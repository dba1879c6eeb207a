"""How well a score of a sample predicts that it is right, within problems and over all of them."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.results import Estimate
from elicit.stats import Inference, joint_estimate

_FEWEST = 2
"""Problems without which nothing says how much problems differ."""
_ROUNDING = 1e-12
"""Share of a sum of squares below which a variance is rounding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Discrimination:
    """How well a score separates right samples from wrong ones."""

    n_mixed: int
    """Problems that have right and wrong samples, over which the AUROC is averaged."""
    auroc: Estimate
    """Within problems; NaN where no problem is mixed."""
    r: Estimate
    """Point-biserial correlation over all samples; NaN where one side never varies."""


def auroc(score: Float[Tensor, " sample"], correct: Bool[Tensor, " sample"]) -> float:
    """Chance that a right sample has the higher score than a wrong one, equal ones counted half.

    `score`: of each sample; those without one (NaN) are left out.

    Returns:
        In [0, 1]; NaN where all samples are right, or all wrong.
    """
    known = ~score.isnan()
    good, bad = score[known & correct], score[known & ~correct]
    if not len(good) or not len(bad):
        return math.nan
    over, equal = good[:, None] > bad, good[:, None] == bad
    return float((over.double() + equal.double() / 2).mean())


def discrimination(
    score: Float[Tensor, "problem sample"],
    correct: Bool[Tensor, "problem sample"],
    *,
    inference: Inference = Inference(),
) -> Discrimination:
    """AUROC within problems and pooled correlation of a score with correctness.

    `score`: of each sample; those without one (NaN) are left out.
    """
    areas = torch.tensor(
        [auroc(s, c) for s, c in zip(score.double(), correct, strict=True)], dtype=torch.float64
    )
    mixed = areas[~areas.isnan()]
    return Discrimination(
        n_mixed=len(mixed),
        auroc=joint_estimate(mixed, inference=inference) if len(mixed) else Estimate.missing(),
        r=_point_biserial(score.double(), correct, inference),
    )


def _point_biserial(
    score: Float[Tensor, "problem sample"],
    correct: Bool[Tensor, "problem sample"],
    inference: Inference,
) -> Estimate:
    """Correlation over all samples, with the percentiles of resampled problems."""
    known = ~score.isnan()
    if not bool(known.any()):
        return Estimate.missing()
    # About the mean of all, or the sums of squares would lose what is left of them.
    x = torch.where(known, score - score[known].mean(), 0.0)
    y = torch.where(known, correct.double() - correct[known].double().mean(), 0.0)
    sums = torch.stack([known.double(), x, y, x * x, y * y, x * y]).sum(-1).T.numpy()
    value = float(_correlation(sums.sum(0)))
    if len(sums) < _FEWEST:
        return _estimate(value, math.nan, math.nan)
    rng = np.random.default_rng(inference.seed)
    drawn = [
        _correlation(sums[rng.integers(len(sums), size=len(sums))].sum(0))
        for _ in range(inference.n_resamples)
    ]
    drawn = np.array(drawn)[np.isfinite(drawn)]
    if not len(drawn):
        return _estimate(value, math.nan, math.nan)
    low, high = np.quantile(drawn, [(1 - inference.level) / 2, (1 + inference.level) / 2])
    return _estimate(value, float(low), float(high))


def _estimate(*ends: float) -> Estimate:
    return Estimate.of(torch.tensor(ends, dtype=torch.float64))


def _correlation(sums: np.ndarray) -> float:
    """Pearson's r from the number of samples and their sums; NaN where one side never varies."""
    n, x, y, xx, yy, xy = sums
    along, across = n * xx - x * x, n * yy - y * y
    # What is left of equal values is rounding.
    varies = along > _ROUNDING * n * xx and across > _ROUNDING * n * yy
    return float((n * xy - x * y) / np.sqrt(along * across)) if varies else math.nan
