"""Two models over k: which passes more, and where they cross."""

from dataclasses import dataclass
from math import inf
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats._resampling import resample_counts
from elicit.stats.estimate import joint_estimate
from elicit.stats.inference import Inference
from elicit.stats.passk import PassCurve

_TIE = 1e-12
"""Differences of pass@k up to this are rounding errors."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PassComparison(Result):
    """pass@k of two models on the same problems, and the k at which the second overtakes."""

    k: Int[Tensor, " k"]
    """Samples of which one must be right."""
    difference: Annotated[Estimate, "k"]
    """pass@k of the first less that of the second, with intervals simultaneous over k."""
    above_difference: Annotated[Estimate, "k"]
    """The same of what each has above its own chance floor."""
    crossover: Annotated[Estimate, ""]
    """Least k at which the second passes more than the first; infinite: it does at no k asked for,
    which says nothing of larger ones. The interval is that of the bootstrap over problems."""
    crossed: float
    """Share of resamples of the problems in which the second overtakes."""
    level: float
    """Nominal coverage of the intervals."""

    @property
    def outcome(self) -> str:
        """What the curves do, in words."""
        first, last = self.k.min().item(), self.k.max().item()
        at = self.crossover.value.item()
        if at == inf:
            return f"no crossover up to k = {last}"
        return f"ahead from k = {first} on" if at == first else f"crossover at k = {at:g}"


def pass_comparison(
    first: PassCurve, second: PassCurve, *, inference: Inference = Inference()
) -> PassComparison:
    """pass@k of two models on the same problems, and the k at which the second overtakes.

    Args:
        first: The model that is ahead with few samples, such as post.
        second: The model that may catch up, such as base.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        ValueError: The curves have other k or another number of problems.

    Source: Yue et al. 2025, arXiv:2504.13837, for the question. A difference of exactly 0 (both
        pass everything, or a model is compared with itself) overtakes nothing.
    """
    if not torch.equal(first.k, second.k) or len(first.by_problem) != len(second.by_problem):
        raise ValueError(
            f"the first curve has {len(first.by_problem)} problems and k {first.k.tolist()}, the "
            f"second {len(second.by_problem)} and {second.k.tolist()}, so they cannot be compared "
            "point by point. Make both of the same problems, in the same order, with the same k."
        )
    order = first.k.argsort()
    lead = (first.by_problem - second.by_problem)[:, order].numpy()
    k, n = first.k[order].double().numpy(), len(lead)
    draws = np.concatenate(
        [
            _crossover(counts @ lead / n, k)
            for counts in resample_counts(n, inference.n_resamples, seed=inference.seed)
        ]
    )
    tail = (1 - inference.level) / 2
    # Order statistics: between a finite k and none there is nothing to interpolate.
    low = np.quantile(draws, tail, method="inverted_cdf")
    high = np.quantile(draws, 1 - tail, method="inverted_cdf")
    value = _crossover(lead.mean(axis=0)[None], k)[0]
    return PassComparison(
        k=first.k,
        difference=joint_estimate(first.by_problem - second.by_problem, inference=inference).within(
            -1.0, 1.0
        ),
        above_difference=joint_estimate(
            first.above_by_problem - second.above_by_problem, inference=inference
        ),
        crossover=Estimate.of(np.array([value, low, high])),
        crossed=float(np.isfinite(draws).mean()),
        level=inference.level,
    )


def _crossover(
    lead: Float[np.ndarray, "draw k"], k: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " draw"]:
    """Least k at which the lead is negative."""
    behind = lead < -_TIE
    return np.where(behind.any(axis=1), k[behind.argmax(axis=1)], inf)
