"""Two-sample statistics of many features: AUROC, Cohen's d, Mann-Whitney."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class TwoSample:
    """Two-sample statistics of each feature."""

    auroc: Float[Tensor, " feature"]
    """Probability that a value of the first set exceeds one of the second, ties counting half."""
    d: Float[Tensor, " feature"]
    """Cohen's d with the pooled standard deviation; infinite where neither set varies."""
    p: Float[Tensor, " feature"]
    """Two-sided Mann-Whitney p-value, normal approximation with ties and continuity."""


def two_sample(
    first: Float[Tensor, "row feature"], second: Float[Tensor, "sample feature"]
) -> TwoSample:
    """Compare two independent sets of values, feature by feature.

    Source: Mann & Whitney 1947, with the tie correction and continuity of scipy's `asymptotic`;
        a constant feature has p = 1.
    """
    from scipy.special import ndtr

    a, b = first.T.contiguous().double(), second.T.contiguous().double()
    n_a, n_b = a.shape[1], b.shape[1]
    ordered = b.sort(dim=1).values
    below = torch.searchsorted(ordered, a, right=False).sum(1).double()
    up_to = torch.searchsorted(ordered, a, right=True).sum(1).double()
    u = (below + up_to) / 2
    both = torch.cat([a, b], dim=1).sort(dim=1).values
    ties = torch.searchsorted(both, both, right=True) - torch.searchsorted(both, both, right=False)
    n = n_a + n_b
    # Each of t tied values adds t² - 1, so together they add t³ - t.
    tied = (ties.double().square() - 1).sum(1)
    spread = (n_a * n_b / 12 * ((n + 1) - tied / (n * (n - 1)))).clamp(min=0).sqrt()
    larger = torch.maximum(u, n_a * n_b - u)
    z = (larger - n_a * n_b / 2 - 0.5) / spread
    p = torch.from_numpy(2 * ndtr(-z.numpy())).clamp(max=1)
    return TwoSample(
        auroc=u / (n_a * n_b), d=cohens_d(first, second), p=torch.where(spread > 0, p, 1.0)
    )


def cohens_d(
    first: Float[Tensor, "row feature"], second: Float[Tensor, "sample feature"]
) -> Float[Tensor, " feature"]:
    """Difference of means in pooled standard deviations; infinite where neither set varies."""
    a, b = first.double(), second.double()
    freedom = len(a) + len(b) - 2
    pooled = ((len(a) - 1) * a.var(0) + (len(b) - 1) * b.var(0)) / freedom
    gap = a.mean(0) - b.mean(0)
    return torch.where(gap == 0, 0.0, gap / pooled.sqrt())
