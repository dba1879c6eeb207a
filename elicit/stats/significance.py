"""Tests of a paired difference: one, or many parts at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from elicit.stats import _checks
from elicit.stats._resampling import PARTS, all_sign_flips, sign_flips, standard_error
from elicit.stats.few import Tails, skewness

_TIE = 1e-12
"""Share of the largest possible statistic within which two values count as equal."""


@dataclass(frozen=True, kw_only=True)
class Significance:
    """A mean paired difference, and how often chance alone would make one as large."""

    value: float
    """Mean of a - b."""
    p: float
    """Two-sided p-value."""
    n: int
    """Problems."""
    method: str
    """The test, and whether its p-value is exact."""


def paired_permutation(
    a: ArrayLike, b: ArrayLike, *, n_resamples: int = 10_000, seed: int
) -> Significance:
    """Mean paired difference, tested by swapping a and b within problems.

    Args:
        a: Value of each problem.
        b: Value of the same problems, in the same order.
        n_resamples: Swaps to draw, at least 100. If all 2^n are no more than that, all are tried
            and the p-value is exact; otherwise the observed data count as one draw more, so p is
            never 0.
        seed: Seed of the draws.

    Raises:
        ValueError: The columns cannot be paired or averaged, or `n_resamples` is too small.

    Source: Fisher 1935; Phipson & Smyth 2010 for the added draw.
    """
    first, second = _checks.paired(a, b)
    difference = first - second
    p = max_t(difference[:, None], n_resamples=n_resamples, seed=seed)
    exact = 2 ** len(difference) <= n_resamples
    return Significance(
        value=float(difference.mean()),
        p=float(p[0]),
        n=len(difference),
        method="sign-flip, exact" if exact else f"sign-flip, {n_resamples} draws",
    )


def max_t(
    effects: ArrayLike, *, n_resamples: int = 10_000, seed: int
) -> Float[np.ndarray, " part"]:
    """P-value of every part's mean effect, adjusted for having looked at all parts.

    The chance, if no part had an effect, that the largest |t| over all parts reaches the part's
    own. Signs are flipped for all parts of a problem together, which holds where effects are spread
    evenly about 0; where they are skewed and problems are few, the p-value is that of Student's t
    with fewer degrees of freedom, if that is larger (`problems_needed`). A part that is 0
    throughout has p = 1 and changes no other part's.

    Args:
        effects: Paired difference for each problem (row) and part (column).
        n_resamples: Flips to draw, at least 100; all 2^n are tried where they are no more.
        seed: Seed of the draws.

    Returns:
        Two-sided adjusted p-values in (0, 1].

    Raises:
        ValueError: The effects are not a finite table of at least 2 problems and 1 part, or
            `n_resamples` is too small.

    Source: Westfall & Young 1993, single-step max-T.
    """
    rows = _checks.table(effects, name="effects")
    n_resamples = _checks.resamples(n_resamples)
    n, exact = len(rows), 2 ** len(rows) <= n_resamples
    # The mean over the root mean square is a rising function of |t|, the same one for every part,
    # and a flip leaves the root mean square alone: no division by a resampled spread of 0.
    scale = np.abs(rows).max(axis=0)
    unit = np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0)
    size = np.sqrt((unit**2).mean(axis=0))
    unit = np.divide(unit, size, out=unit, where=size > 0) / n
    observed = np.abs(unit.sum(axis=0))
    flips = all_sign_flips(n) if exact else sign_flips(n, n_resamples, seed=seed)
    largest = np.sort(np.concatenate(list(_largest(unit, flips))))
    reached = len(largest) - np.searchsorted(largest, observed - _TIE, side="left")
    p = reached / len(largest) if exact else (reached + 1) / (len(largest) + 1)
    return np.maximum(p, _skewed_p(rows))


def _skewed_p(rows: np.ndarray) -> np.ndarray:
    """Least p-value of parts too skewed for sign flips, Bonferroni over parts; 0 of all others."""
    value = rows.mean(axis=0)
    deviations, moving = rows - value, np.ptp(rows, axis=0) > 0
    # Beyond one standard error of the skewness of normal values.
    skewed = moving & (skewness(deviations) ** 2 > 6 / len(rows))
    tails = Tails.of(deviations, n_parts=int(moving.sum()), few=skewed)
    return tails.p(tails.reached(value, standard_error(deviations)))


def mcnemar(a: ArrayLike, b: ArrayLike) -> Significance:
    """Difference of two success rates on the same problems, by the exact McNemar test.

    Args:
        a: Success of each problem, 0 or 1.
        b: Success of the same problems, in the same order, 0 or 1.

    Raises:
        ValueError: The columns cannot be paired, or hold something other than 0 and 1.

    Source: McNemar 1947, two-sided binomial on the problems that only one of them solved.
    """
    from scipy.special import bdtr

    first, second = _checks.paired(a, b)
    for name, values in (("a", first), ("b", second)):
        odd = values[(values != 0) & (values != 1)]
        if len(odd):
            raise ValueError(
                f"{name} holds {odd[0]}, but the test counts problems solved by one side only and "
                "needs 0 or 1. Pass single outcomes, or use paired_permutation for averages."
            )
    only_a, only_b = int(np.sum(first > second)), int(np.sum(first < second))
    p = min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))
    return Significance(
        value=(only_a - only_b) / len(first), p=p, n=len(first), method="mcnemar, exact"
    )


def _largest(unit: np.ndarray, flips: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    for signs in flips:
        largest = np.zeros(len(signs))
        for start in range(0, unit.shape[1], PARTS):
            some = np.abs(signs @ unit[:, start : start + PARTS])
            np.maximum(largest, some.max(axis=1), out=largest)
        yield largest
