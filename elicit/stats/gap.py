"""How much of the gap between base and post something closes."""

from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from elicit.results import ElicitError
from elicit.stats import _checks
from elicit.stats._resampling import PARTS, bootstrap_t, mid_quantile, standard_error
from elicit.stats.few import Tails, unseen
from elicit.stats.interval import Interval


class NoGapError(ElicitError, ValueError):
    """Base and post do not differ measurably, so no share of their gap is defined."""


def gap_share(
    score: ArrayLike,
    base: ArrayLike,
    post: ArrayLike,
    *,
    level: float = 0.95,
    method: Literal["fieller", "bootstrap"] = "fieller",
    n_resamples: int = 2000,
    seed: int = 0,
    span: float | None = None,
) -> Interval:
    """Share of the gap from base to post that a score recovers: 0 none, 1 all, never clipped.

    The share r and its interval hold every r for which the mean of (score - base) - r·(post - base)
    over problems is not distinguishable from 0. The interval need not be symmetric, and it stays
    right where the gap is only just measurable.

    Args:
        score: Score of each problem under what is being judged, any unit.
        base: Score of the base model on the same problems, in the same order.
        post: Score of the post-trained model on the same problems, in the same order.
        level: Coverage, in (0, 1).
        method: Critical value from the t distribution ("fieller") or, for skewed scores, from a
            bootstrap over problems ("bootstrap").
        n_resamples: Resamples of the bootstrap, at least 100.
        seed: Seed of the bootstrap; the "fieller" interval does not depend on it.
        span: How far one problem may lie off where the share is the same in all that were seen by
            chance and not by construction, in units of the scores; see `problem_mean`.

    Raises:
        NoGapError: The interval of the gap itself includes 0.
        ValueError: The columns cannot be paired or averaged, or an option is out of range.

    Source: Fieller 1954; Hwang 1995 for the bootstrapped critical value.
    """
    s, b, t = (
        _checks.column(values, name=name)
        for values, name in ((score, "score"), (base, "base"), (post, "post"))
    )
    _checks.same_length(b, s, names=("base", "score"))
    _checks.same_length(b, t, names=("base", "post"))
    level = _checks.fraction(level, name="level")
    n = len(b)
    gain, gap = s - b, t - b
    mean_gap = float(gap.mean())
    gap_error = float(standard_error((gap - mean_gap)[:, None])[0]) if np.ptp(gap) else 0.0
    share = float(gain.mean()) / mean_gap if mean_gap else np.nan
    rest = gain - share * gap
    critical = _critical(
        [gap - mean_gap, rest] if mean_gap else [gap],
        level=level,
        method=method,
        n_resamples=n_resamples,
        seed=seed,
    )
    half = critical * gap_error
    if abs(mean_gap) <= half:
        raise NoGapError(
            f"base scores {b.mean():.4g} and post {t.mean():.4g} on {n} problems, and the "
            f"{level:.0%} interval of the gap, {mean_gap:.4g} [{mean_gap - half:.4g}, "
            f"{mean_gap + half:.4g}], includes 0, so a share of it could be any number. Use more "
            "problems, or problems on which base and post differ."
        )
    # With r = share + step the condition is quadratic in the step. Its discriminant is a sum of
    # squares, so a rest of exactly 0 (score equal to post, or to base) gives an exact point.
    rest_error = float(standard_error(rest[:, None])[0])
    product = float(np.mean((gap - mean_gap) * rest)) / (n - 1)
    room = mean_gap**2 - half**2
    middle = -(critical**2) * product / room
    reach = np.sqrt(middle**2 + (critical * rest_error) ** 2 / room)
    if span is not None and not rest.any():
        reach = span * unseen(n, level) / abs(mean_gap)
    return Interval(
        value=share,
        low=share + middle - reach,
        high=share + middle + reach,
        level=level,
        n=n,
        method="fieller" if method == "fieller" else "fieller, bootstrap-t",
    )


def gap_shares(
    gains: Float[np.ndarray, "problem part"], gap: Float[np.ndarray, " problem"], *, level: float
) -> Float[np.ndarray, "end part"]:
    """Share of one gap that each of many parts recovers, with the ends of its Fieller interval.

    The numbers of `gap_share`, for all parts at once.

    Args:
        gains: Score under each part minus that of the base, any unit.
        gap: Score of the post-trained model minus that of the base.
        level: Coverage for each part alone, in (0, 1).

    Returns:
        Share, lower and upper end; all NaN where the interval of the gap itself includes 0.

    Source: Fieller 1954.
    """
    from scipy.special import stdtrit

    level = _checks.fraction(level, name="level")
    return _shares(gains, gap, float(stdtrit(len(gap) - 1, (1 + level) / 2)))


def joint_gap_shares(
    gains: Float[np.ndarray, "problem part"],
    gap: Float[np.ndarray, " problem"],
    *,
    level: float,
    n_resamples: int = 2000,
    seed: int,
) -> Float[np.ndarray, "end part"]:
    """Share of one gap that each of many parts recovers, with intervals that hold for all at once.

    For the part with the largest share: its interval allows for having been chosen.

    Args:
        gains: Score under each part minus that of the base, any unit.
        gap: Score of the post-trained model minus that of the base.
        level: Chance that all intervals cover, in (0, 1).
        n_resamples: Resamples of the problems, at least 100.
        seed: Seed of the resampling.

    Returns:
        Share, lower and upper end; all NaN where the interval of the gap includes 0 at the same
        critical value, which is larger than that of the gap alone.

    Source: Fieller 1954 with a max-|t| critical value (Romano & Wolf 2005) over the gap and what is
        left of it under each part.
    """
    level = _checks.fraction(level, name="level")
    n_resamples = _checks.resamples(n_resamples)
    mean_gap = float(gap.mean())
    if not mean_gap:
        return np.full((3, gains.shape[1]), np.nan)
    rest = gains - gains.mean(axis=0) / mean_gap * gap[:, None]
    columns = np.concatenate([(gap - mean_gap)[:, None], rest], axis=1)
    scale = np.maximum(np.abs(gains).max(axis=0, initial=0), np.abs(gap).max())
    room = 1e-12 * np.concatenate([[np.abs(gap).max()], scale])
    columns = columns[:, np.abs(columns).max(axis=0) > room]
    largest = np.zeros(n_resamples)
    for start in range(0, columns.shape[1], PARTS):
        t = bootstrap_t(columns[:, start : start + PARTS], n_resamples, seed=seed)
        np.maximum(largest, t.max(axis=1), out=largest)
    critical = float(mid_quantile(largest[:, None], level)[0])
    tails = Tails.of(columns, n_parts=columns.shape[1])
    c = np.maximum(critical, tails.least(level))
    c *= 1 + np.maximum(tails.below, tails.above) * c
    return _shares(gains, gap, float(c.max(initial=0.0)))


def _shares(
    gains: Float[np.ndarray, "problem part"], gap: Float[np.ndarray, " problem"], critical: float
) -> Float[np.ndarray, "end part"]:
    """Shares with the ends of Fieller's interval at one critical value."""
    n, mean_gap = len(gap), float(gap.mean())
    half = critical * float(standard_error((gap - mean_gap)[:, None])[0])
    if np.ptp(gap) == 0:
        half = 0.0
    if abs(mean_gap) <= half:
        return np.full((3, gains.shape[1]), np.nan)
    share = gains.mean(axis=0) / mean_gap
    rest = gains - share * gap[:, None]
    product = ((gap - mean_gap)[:, None] * rest).mean(axis=0) / (n - 1)
    room = mean_gap**2 - half**2
    middle = -(critical**2) * product / room
    reach = np.sqrt(middle**2 + (critical * standard_error(rest)) ** 2 / room)
    return np.stack([share, share + middle - reach, share + middle + reach])


def _critical(
    columns: list[np.ndarray], *, level: float, method: str, n_resamples: int, seed: int
) -> float:
    if method == "fieller":
        from scipy.special import stdtrit

        return float(stdtrit(len(columns[0]) - 1, (1 + level) / 2))
    if method != "bootstrap":
        raise ValueError(
            f"method is {method!r}, and only 'fieller' and 'bootstrap' are known, so no interval "
            "was made. Pass one of the two."
        )
    n_resamples = _checks.resamples(n_resamples)
    varying = [column for column in columns if np.ptp(column) > 0]
    if not varying:
        return 0.0
    # The larger of the two: the gap must be measurable at the same critical value as the rest, or
    # the interval would have no end.
    t = bootstrap_t(np.stack(varying, axis=1), n_resamples, seed=seed)
    return float(mid_quantile(t, level).max())
