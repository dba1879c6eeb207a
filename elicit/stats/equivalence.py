"""When a difference is small enough to call two things the same, and how small could be seen."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from elicit.stats import _checks
from elicit.stats.interval import Interval


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Whether a mean difference was shown to be smaller than a margin."""

    interval: Interval
    """The mean difference; lies inside ±`margin` exactly when `equivalent`."""
    p: float
    """Chance of looking this much alike if the true difference were at least `margin`."""
    margin: float
    """Largest difference that still counts as none, in units of the values."""
    alpha: float
    """Level at which `p` is judged."""

    @property
    def equivalent(self) -> bool:
        """Whether sameness was shown; False means not shown, never that there is a difference."""
        return self.p < self.alpha


def tost(values: ArrayLike, *, margin: float, alpha: float = 0.05) -> Equivalence:
    """Mean paired difference tested for being within ±`margin` of 0 (two one-sided t tests).

    Args:
        values: Difference of each problem.
        margin: Largest difference that still counts as none, above 0, in units of the values.
        alpha: Chance of calling a difference of `margin` or more equivalent, in (0, 0.5).

    Returns:
        The larger of the two one-sided p-values and the matching interval of level 1 - 2·`alpha`.

    Raises:
        ValueError: `margin` is not above 0, `alpha` is outside (0, 0.5), or the values cannot be
            averaged.

    Source: Schuirmann 1987.
    """
    from scipy.special import stdtr, stdtrit

    rows = _checks.column(values, name="values")
    if not 0 < margin < np.inf:
        raise ValueError(
            f"margin is {margin}, but no data can show a difference to be exactly 0. "
            "Pass the largest difference that you would still call none, above 0."
        )
    if not 0 < alpha < 0.5:
        raise ValueError(
            f"alpha is {alpha}, but equivalence is read from an interval of level 1 - 2·alpha, "
            "which must stay above 0. Pass a value in (0, 0.5), usually 0.05."
        )
    n = len(rows)
    mean, error = _mean_and_error(rows)
    half = float(stdtrit(n - 1, 1 - alpha)) * error
    if error > 0:
        p = float(stdtr(n - 1, (abs(mean) - margin) / error))
    else:
        p = 0.0 if abs(mean) < margin else 1.0
    interval = Interval(
        value=mean, low=mean - half, high=mean + half, level=1 - 2 * alpha, n=n, method="t"
    )
    return Equivalence(interval=interval, p=p, margin=float(margin), alpha=float(alpha))


def minimum_detectable_effect(
    values: ArrayLike, *, power: float = 0.8, level: float = 0.95
) -> float:
    """Smallest true mean difference that a t test on this many such problems would likely find.

    Read it beside a null result: an effect below it would probably have been missed.

    Args:
        values: Difference of each problem; only their spread and number are used.
        power: Wanted chance of finding the effect, in (0, 1) and at least (1 - level) / 2.
        level: One minus the two-sided level of the test, in (0, 1).

    Returns:
        An effect of at least 0, in units of the values.

    Raises:
        ValueError: `power` or `level` is out of range, or the values cannot be averaged.

    Source: Noncentral t power, counting rejections in the direction of the effect.
    """
    from scipy.special import nctdtrinc, stdtrit

    rows = _checks.column(values, name="values")
    power, level = _checks.fraction(power, name="power"), _checks.fraction(level, name="level")
    if power < (1 - level) / 2:
        raise ValueError(
            f"power is {power} at level {level}, but the test finds an effect of 0 with chance "
            f"{(1 - level) / 2:.4g} already. Pass a larger power, usually 0.8."
        )
    n = len(rows)
    critical = float(stdtrit(n - 1, (1 + level) / 2))
    return float(nctdtrinc(n - 1, 1 - power, critical)) * _mean_and_error(rows)[1]


def _mean_and_error(rows: np.ndarray) -> tuple[float, float]:
    # Equal values have a mean that is one of them; a sum divided by n may be off in the last bit.
    if rows.min() == rows.max():
        return float(rows[0]), 0.0
    return float(rows.mean()), float(rows.std(ddof=1)) / sqrt(len(rows))
