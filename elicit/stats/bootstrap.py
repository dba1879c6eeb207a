"""The mean over problems, with a bootstrap interval."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from elicit.stats import _checks
from elicit.stats._resampling import SPREAD_FLOOR, mid_quantile, resample_counts
from elicit.stats.few import Tails
from elicit.stats.interval import Interval

Method = Literal["t", "bca", "percentile"]
ENOUGH = 30
"""Problems from which on a single mean, however skewed, is left to the bootstrap."""


def bootstrap_mean(
    values: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 10_000,
    method: Method = "t",
    seed: int,
) -> Interval:
    """Mean over rows, with an interval from resampling whole problems.

    Args:
        values: One value per row, any unit.
        clusters: Problem of each row, where a problem has several (samples, say); default: every
            row is its own problem. All rows of a problem are drawn together.
        level: Coverage, in (0, 1).
        n_resamples: Resamples of the problems, at least 100.
        method: "t", "bca" or "percentile"; see below.
        seed: Seed of the resampling.

    Returns:
        The mean of all rows with its interval. Equal values give that value as a point: where
        failures are possible but none was seen, prefer `wilson`.

    Raises:
        ValueError: Fewer than 2 rows or problems, NaN or infinite values, clusters that do not
            match the rows, or an option out of range.

    Source: Efron & Tibshirani 1993, ch. 12 (t) and 14 (BCa); Hall 1988 for the symmetric t, with a
        resample's standard error kept at half the sample's or more. "t" is the default by
        simulation at nominal 95 %: over 0/1 values with rates 0.1-0.9 its coverage, summed over
        all counts, is 93.5-96.7 % at n = 50 and 93.2-96.4 % at 100; it is 94 % for exponential
        values at 50, 95 % at 100, and 95 % for heavy symmetric tails. BCa has 94-97.3 % and
        94.3-96.3 % on 0/1 values but 92 % at 50 for exponential and heavy ones; the percentile
        bootstrap falls to 92 % on rates of 0.1. BCa's ends stay within the range of the data,
        those of the symmetric t need not. For lognormal values at n = 50 none reaches 93 %.
    """
    rows = _checks.column(values, name="values")
    level = _checks.fraction(level, name="level")
    n_resamples = _checks.resamples(n_resamples)
    if method not in ("t", "bca", "percentile"):
        raise ValueError(
            f"method is {method!r}, and only 't', 'bca' and 'percentile' are known, so no interval "
            "was made. Pass one of the three."
        )
    totals, sizes = _by_cluster(rows, clusters)
    n, constant = len(sizes), rows.min() == rows.max()
    value = float(rows[0]) if constant else float(totals.sum() / sizes.sum())
    low = high = value
    # The mean is a ratio of two sums over problems, both of which a resample changes; this is each
    # problem's share in its error. With one row per problem it is the row less the mean.
    deviations = (totals - value * sizes) / sizes.mean()
    scale = float(np.abs(deviations).max())
    if not constant and scale > 0:
        unit = deviations / scale
        error = float(np.sqrt((unit**2).sum() / (n * (n - 1))))
        shift, t = _resampled(unit, sizes / sizes.mean(), error, n_resamples, seed=seed)
        if method == "t":
            quantile = float(mid_quantile(np.abs(t)[:, None], level)[0])
            # From 30 problems on the bootstrap covers the mean of answers as it should.
            few = np.zeros(1, dtype=bool) if n >= ENOUGH else None
            below, above = Tails.of(unit[:, None], few=few).ends(
                np.zeros(1), np.array([error]), quantile, level
            )
            ends = np.array([below[0], above[0]])
        else:
            ends = _quantile_ends(
                shift, unit, sizes / sizes.mean(), error, level=level, bca=method == "bca"
            )
        low, high = (value + scale * ends).tolist()
    return Interval(value=value, low=low, high=high, level=level, n=n, method=f"bootstrap-{method}")


def bootstrap_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    n_resamples: int = 10_000,
    method: Method = "t",
    seed: int,
) -> Interval:
    """Mean of a - b over the same rows, with an interval from resampling whole problems.

    Args:
        a: One value per row, any unit.
        b: The value it is compared with, row by row.
        clusters: Problem of each row, as for `bootstrap_mean`.
        level: Coverage, in (0, 1).
        n_resamples: Resamples of the problems, at least 100.
        method: "t", "bca" or "percentile", as for `bootstrap_mean`.
        seed: Seed of the resampling.

    Raises:
        ValueError: The columns cannot be paired, or as for `bootstrap_mean`.
    """
    first, second = _checks.paired(a, b)
    return bootstrap_mean(
        first - second,
        clusters=clusters,
        level=level,
        n_resamples=n_resamples,
        method=method,
        seed=seed,
    )


def _by_cluster(rows: np.ndarray, clusters: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    if clusters is None:
        return rows, np.ones(len(rows))
    labels = np.asarray(clusters)
    if labels.shape != rows.shape:
        raise ValueError(
            f"clusters has shape {labels.shape} and values {rows.shape}, so some row has no "
            "problem. Pass the problem's id once for every row."
        )
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise ValueError(
            "clusters holds NaN, so some row belongs to no problem and would count as its own. "
            "Give every row the id of its problem."
        )
    ids, index = np.unique(labels, return_inverse=True)
    if len(ids) < 2:
        raise ValueError(
            f"clusters names {len(ids)} problem for {len(rows)} rows, but at least 2 are needed: "
            "rows of one problem do not say how much problems differ. Pass more problems."
        )
    return np.bincount(index, weights=rows), np.bincount(index).astype(np.float64)


def _resampled(
    unit: np.ndarray, sizes: np.ndarray, error: float, n_resamples: int, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each resample's mean less the sample's, and the same in standard errors of that resample."""
    n = len(unit)
    moments = np.stack([unit, sizes, unit**2, unit * sizes, sizes**2], axis=1)
    sums = np.concatenate([c @ moments for c in resample_counts(n, n_resamples, seed=seed)])
    total, size, square, cross, size_square = sums.T
    shift = total / size
    spread = square - 2 * shift * cross + shift**2 * size_square
    # sum over problems of (u - shift * size)^2, so it is at least 0 but for rounding.
    variance = np.maximum(spread, 0) / size**2 * (n / (n - 1))
    return shift, shift / np.sqrt(np.maximum(variance, (SPREAD_FLOOR * error) ** 2))


def _quantile_ends(
    shift: np.ndarray, unit: np.ndarray, sizes: np.ndarray, error: float, *, level: float, bca: bool
) -> np.ndarray:
    """Percentile or BCa ends, less the mean, in the unit of the shifts."""
    from scipy.special import ndtr, ndtri

    draws = np.round(shift / error, 9)[:, None]
    probability = np.array([(1 - level) / 2, (1 + level) / 2])
    if bca:
        left_out = -unit / (sizes.sum() - sizes)
        skew = left_out.mean() - left_out
        acceleration = (skew**3).sum() / (6 * (skew**2).sum() ** 1.5)
        # Never 0 or 1, whose normal quantile is infinite.
        below = np.mean(draws < 0) + np.mean(draws == 0) / 2
        bias = ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws)))
        z = bias + ndtri(probability)
        probability = ndtr(bias + z / np.maximum(1 - acceleration * z, 1e-9))
    return np.concatenate([mid_quantile(draws, float(p)) for p in probability]) * error
