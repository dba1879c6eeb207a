"""Rates, effects and shares of a gap from per-problem outcomes, with intervals."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Estimate
from elicit.stats import Inference, bootstrap_mean, gap_shares, simultaneous_intervals, wilson

Scores = Float[Tensor, "problem metric arm strength"]


def rates_of(scores: Scores, *, proportion: bool, inference: Inference) -> Estimate:
    """Mean over problems, with pointwise intervals.

    `proportion`: whether each problem has one text, so that the rate is a proportion.
    """
    intervals = []
    for values in scores.flatten(1).T.numpy():
        if proportion:
            one = wilson(int(values.sum()), len(values), level=inference.level)
        else:
            one = bootstrap_mean(
                values,
                level=inference.level,
                n_resamples=inference.n_resamples,
                seed=inference.seed,
            )
        intervals.append(one)
    return Estimate.of_intervals(intervals).map(lambda ends: ends.unflatten(0, scores.shape[1:]))


def means_of(values: Float[Tensor, "problem ..."], inference: Inference) -> Estimate:
    """Means over problems, with simultaneous intervals over all cells."""
    joint = simultaneous_intervals(
        values.flatten(1).numpy(),
        level=inference.level,
        n_resamples=inference.n_resamples,
        seed=inference.seed,
    )
    ends = torch.from_numpy(np.stack([joint.value, joint.low, joint.high]))
    return Estimate.of(ends.view(3, *values.shape[1:]))


def effects_of(effects: Scores, inference: Inference) -> Estimate:
    """Mean effects, with simultaneous intervals over all cells of a metric."""
    return Estimate.stack([means_of(one, inference) for one in effects.unbind(1)])


def shares_of(
    scores: Scores,
    base: Float[Tensor, "problem metric"],
    post: Float[Tensor, "problem metric"],
    inference: Inference,
) -> Estimate:
    """Shares of the gap with pointwise intervals, where the gap excludes 0.

    `post`: the target's; NaN where there is none.
    """
    gains = (scores - base[:, :, None, None]).numpy()
    ends = np.full((3, *scores.shape[1:]), np.nan)
    for row in range(scores.shape[1]):
        gap = (post[:, row] - base[:, row]).numpy()
        if not np.isnan(gap).any():
            flat = gains[:, row].reshape(len(gap), -1)
            shares = gap_shares(flat, gap, level=inference.level)
            ends[:, row] = shares.reshape(3, *scores.shape[2:])
    return Estimate.of(ends)


def gaps_of(
    base: Float[Tensor, "problem metric"],
    post: Float[Tensor, "problem metric"],
    inference: Inference,
) -> Estimate:
    """The gap of each metric; shares are defined where it excludes 0.

    `post`: the target's; NaN where there is none.
    """
    from scipy.special import stdtrit

    gap = post - base
    value, n = gap.mean(0), len(gap)
    half = float(stdtrit(n - 1, (1 + inference.level) / 2)) * gap.std(0) / n**0.5
    # Where every problem has the same gap there is no spread, and rounding must not make one.
    half[(gap == gap[0]).all(0)] = 0.0
    return Estimate(value=value, low=value - half, high=value + half)
