"""Intervals for many parts at once, all of which hold together."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from elicit.stats import _checks
from elicit.stats._resampling import (
    PARTS,
    bootstrap_t,
    mid_quantile,
    standard_error,
    student_floor,
)
from elicit.stats.interval import Interval


@dataclass(frozen=True, eq=False, kw_only=True)
class SimultaneousIntervals:
    """Mean effect of every part, with the ranges that cover all true means at once."""

    value: Float[np.ndarray, " part"]
    """Mean over problems."""
    low: Float[np.ndarray, " part"]
    """Lower end, jointly over parts."""
    high: Float[np.ndarray, " part"]
    """Upper end, jointly over parts."""
    alone: Float[np.ndarray, "end part"]
    """Lower and upper end for each part alone: for a part that was chosen beforehand, never for the
    best."""
    critical: float
    """Half width of the joint intervals in standard errors; 0 when no part varies."""
    level: float
    """Nominal chance that every joint interval covers its mean."""
    n: int
    """Problems."""

    @property
    def clear_of_zero(self) -> Bool[np.ndarray, " part"]:
        """Parts whose joint interval lies on one side of 0."""
        return (self.low > 0) | (self.high < 0)

    def interval(self, part: int) -> Interval:
        """One part's mean with its joint interval."""
        return Interval(
            value=float(self.value[part]),
            low=float(self.low[part]),
            high=float(self.high[part]),
            level=self.level,
            n=self.n,
            method="max-t",
        )


def simultaneous_intervals(
    effects: ArrayLike, *, level: float = 0.95, n_resamples: int = 2000, seed: int
) -> SimultaneousIntervals:
    """Mean effect of every part, with intervals that cover all parts at once.

    Problems are resampled with all their parts together, so the correlation of the parts is used
    and not feared: parts that move alike cost almost nothing. The half width of every part is one
    quantile of the largest |t| over parts, times the part's own standard error.

    A part that is the same for every problem has no spread: its interval is that one value (an
    effect of exactly 0 stays [0, 0]) and it takes no part in the maximum. Where rare events are
    possible but none was seen, that point is too sure of itself; see `wilson`.

    Args:
        effects: Effect for each problem (row) and part (column), any unit.
        level: Chance that all intervals cover, in (0, 1).
        n_resamples: Resamples of the problems, at least 100.
        seed: Seed of the resampling.

    Raises:
        ValueError: The effects are not a finite table of at least 2 problems and 1 part, or an
            option is out of range.

    Source: Romano & Wolf 2005 (max-|t| bootstrap of Westfall & Young 1993), studentised in each
        resample with the resample's standard error kept at half the sample's or more. Simulated
        joint coverage at nominal 95 %, 8 and 40 parts, n = 50 to 200: 94-96 % for correlated
        normal effects, 93-95 % for exponential ones, and for means of 0.1 to 0.9 of differences
        of 0/1 answers 91-92 % at 50 and 95-96 % from 100 on. Without any effect a false one is
        found in at most 5 %, in far fewer where events are rare.
    """
    rows = _checks.table(effects, name="effects")
    level = _checks.fraction(level, name="level")
    value, deviations, moving = _centred(rows)
    single = np.zeros(rows.shape[1])

    def alone(parts: np.ndarray, t: np.ndarray) -> None:
        single[parts] = np.maximum(mid_quantile(t, level), student_floor(len(rows), level))

    joint = _critical(deviations, moving, level, n_resamples, seed, alone)
    error = standard_error(deviations)
    return SimultaneousIntervals(
        value=value,
        low=value - joint * error,
        high=value + joint * error,
        alone=np.stack([value - single * error, value + single * error]),
        critical=joint,
        level=level,
        n=len(rows),
    )


def joint_intervals(
    effects: ArrayLike, *, level: float = 0.95, n_resamples: int = 2000, seed: int
) -> Float[np.ndarray, "end part"]:
    """Mean, lower and upper end of every part, the ends jointly over parts, and nothing else.

    The same numbers as `simultaneous_intervals`, without the ends of single parts, which cost as
    much again where parts are many.

    Args:
        effects: Effect for each problem (row) and part (column), any unit.
        level: Chance that all intervals cover, in (0, 1).
        n_resamples: Resamples of the problems, at least 100.
        seed: Seed of the resampling.

    Raises:
        ValueError: The effects are not a finite table of at least 2 problems and 1 part, or an
            option is out of range.
    """
    rows = _checks.table(effects, name="effects")
    level = _checks.fraction(level, name="level")
    value, deviations, moving = _centred(rows)
    half = _critical(deviations, moving, level, n_resamples, seed) * standard_error(deviations)
    return np.stack([value, value - half, value + half])


def _centred(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of every part, what is left of it, and the parts that vary."""
    varies = rows.min(axis=0) < rows.max(axis=0)
    value = np.where(varies, rows.mean(axis=0), rows[0])
    return value, rows - value, np.flatnonzero(varies)


def _critical(
    deviations: np.ndarray,
    moving: np.ndarray,
    level: float,
    n_resamples: int,
    seed: int,
    see: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> float:
    """Half width of the joint intervals in standard errors.

    Some parts at a time: each block is drawn with the same resamples, of which only the largest |t|
    is kept.
    """
    n_resamples = _checks.resamples(n_resamples)
    if not len(moving):
        return 0.0
    largest = np.zeros(n_resamples)
    for start in range(0, len(moving), PARTS):
        parts = moving[start : start + PARTS]
        t = bootstrap_t(deviations[:, parts], n_resamples, seed=seed)
        np.maximum(largest, t.max(axis=1), out=largest)
        if see is not None:
            see(parts, t)
    joint = float(mid_quantile(largest[:, None], level)[0])
    return max(joint, student_floor(len(deviations), level, n_parts=len(moving)))
