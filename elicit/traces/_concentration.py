"""How much of a sum falls on a few of its parts, with intervals over problems."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.stats import Inference


def ratio_of_sums(
    above: Float[Tensor, " row"],
    below: Float[Tensor, " row"],
    problem: Int[Tensor, " row"],
    inference: Inference,
) -> Float[Tensor, "3"]:
    """A ratio of sums with its ends; NaN where the sum below is 0.

    The ratio itself is resampled: where one text holds most of a divergence it is far from linear,
    and a share must stay one.
    """
    ends = torch.full((3,), torch.nan, dtype=torch.float64)
    n = int(problem.max()) + 1 if len(problem) else 0
    sums = [torch.bincount(problem, x.double(), minlength=n).numpy() for x in (above, below)]
    if not n or not sums[1].sum():
        return ends
    ends[0] = float(sums[0].sum() / sums[1].sum())
    if len(problem.unique()) >= 2:
        random, drawn = np.random.default_rng(inference.seed), np.full(n, 1 / n)
        times = random.multinomial(n, drawn, size=inference.n_resamples)
        under = times @ sums[1]
        ratio = (times @ sums[0])[under != 0] / under[under != 0]
        outside = (1 - inference.level) / 2
        ends[1:] = torch.from_numpy(np.quantile(ratio, [outside, 1 - outside]))
    return ends


def cumulative(
    kl: Float[Tensor, " token"], order: Int[Tensor, " token"]
) -> Float[Tensor, " percent"]:
    """Share of the sum in the first 0, 1, ... 100 % of tokens, straight between tokens."""
    total = float(kl.sum())
    if not total:
        return torch.full((101,), torch.nan, dtype=torch.float64)
    sums = torch.cat([kl.new_zeros(1), kl[order].cumsum(0)]) / total
    reached = torch.arange(101, dtype=torch.float64) / 100 * len(kl)
    below = reached.floor().long().clamp(max=len(kl) - 1)
    return sums[below] + (reached - below) * (sums[below + 1] - sums[below])
