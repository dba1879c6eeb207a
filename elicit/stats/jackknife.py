"""Intervals of statistics that are no means over problems: each problem's influence, left out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.results import Estimate
from elicit.stats.estimate import joint_estimate, problem_mean
from elicit.stats.inference import Inference


@dataclass(frozen=True, eq=False, kw_only=True)
class Jackknife:
    """A statistic of several parts, and what each problem says of it."""

    value: Float[Tensor, " part"]
    """The statistic of all rows."""
    by_problem: Float[Tensor, "problem part"]
    """Pseudo-values, of which the mean is the statistic and the spread its error; NaN throughout a
    part that is undefined without some problem. Two sides on the same problems differ by the mean
    of the difference of these."""

    def each(self, *, inference: Inference = Inference(), span: float | None = None) -> Estimate:
        """Every part with the interval of this number alone.

        Args:
            inference: Coverage, resamples and seed.
            span: As for `problem_mean`, of parts on which no problem has any influence.
        """
        nan = float("nan")
        ends = [(nan, nan)] * len(self.value)
        for part in self.by_problem.isfinite().all(dim=0).nonzero()[:, 0].tolist():
            one = problem_mean(self.by_problem[:, part], inference=inference, span=span)
            ends[part] = (one.low, one.high)
        low, high = torch.tensor(ends, dtype=torch.float64).reshape(-1, 2).T
        return Estimate(value=self.value, low=low, high=high)

    def together(
        self, *, inference: Inference = Inference(), span: float | None = None
    ) -> Estimate:
        """Every part with intervals that cover all parts at once.

        Args:
            inference: Coverage, resamples and seed.
            span: As for `joint_estimate`, of parts on which no problem has any influence.
        """
        ends = joint_estimate(self.by_problem, inference=inference, span=span)
        return Estimate(value=self.value, low=ends.low, high=ends.high)


def jackknifed(
    statistic: Callable[[Int[np.ndarray, " kept"]], Float[np.ndarray, " part"]],
    problem: Int[Tensor, " row"],
) -> Jackknife:
    """A statistic of rows, and what each problem says of it by its being left out.

    Costs one evaluation a problem. For smooth statistics only: for one that jumps (a median, the
    first k at which curves cross) the spread of these values says nothing.

    Args:
        statistic: From the numbers of the rows that are kept to its parts, any unit; NaN where a
            part is undefined.
        problem: Problem of each row; all rows of a problem are left out together.

    Source: Tukey 1958; Efron & Stein 1981: its variance errs upwards, also where a squared
        difference is near 0 and the usual first-order error would be 0.
    """
    present, inverse = np.unique(problem.numpy(), return_inverse=True)
    whole = np.asarray(statistic(np.arange(len(inverse))), dtype=np.float64)
    n = len(present)
    if n < 2:
        return Jackknife(
            value=torch.from_numpy(whole), by_problem=torch.from_numpy(whole * np.ones((n, 1)))
        )
    without = np.stack([statistic(np.flatnonzero(inverse != left)) for left in range(n)])
    with np.errstate(invalid="ignore"):
        shift = (n - 1) * (without.mean(axis=0) - without)
    # A rounding error in a statistic that no problem changes is no spread.
    shift[:, np.abs(shift).max(axis=0) <= 1e-12 * n * (1 + np.abs(whole))] = 0.0
    return Jackknife(
        value=torch.from_numpy(whole), by_problem=torch.from_numpy(np.asarray(whole + shift))
    )
