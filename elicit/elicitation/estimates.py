"""Rates, effects and shares of a gap from per-problem outcomes, with intervals."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Estimate
from elicit.stats import Inference, bootstrap_mean, gap_shares, joint_estimate, unseen, wilson

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


def effects_of(
    effects: Scores, strengths: Float[Tensor, " strength"], inference: Inference
) -> Estimate:
    """Mean effects, with simultaneous intervals over all cells of a metric.

    What is steered at strength 0 is the same model; elsewhere problems that are all alike leave
    room for unseen others.
    """
    moved = strengths != 0

    def joint(one: Float[Tensor, "problem arm strength"]) -> Estimate:
        found = joint_estimate(one, inference=inference, span=1.0)
        low, high = (torch.where(moved, end, found.value) for end in (found.low, found.high))
        return Estimate(value=found.value, low=low, high=high)

    return Estimate.stack([joint(one) for one in effects.unbind(1)])


def shares_of(
    scores: Scores,
    base: Float[Tensor, "problem metric"],
    post: Float[Tensor, "problem metric"],
    inference: Inference,
    *,
    strengths: Float[Tensor, " strength"] | None = None,
) -> Estimate:
    """Shares of the gap with pointwise intervals, where the gap excludes 0.

    `post`: the target's; NaN where there is none. `strengths`: what is steered, not at 0, may close
    the same share in all problems by chance, which leaves room for unseen others.
    """
    gains = (scores - base[:, :, None, None]).numpy()
    ends = np.full((3, *scores.shape[1:]), np.nan)
    for row in range(scores.shape[1]):
        gap = (post[:, row] - base[:, row]).numpy()
        if not np.isnan(gap).any():
            flat = gains[:, row].reshape(len(gap), -1)
            shares = gap_shares(flat, gap, level=inference.level)
            ends[:, row] = shares.reshape(3, *scores.shape[2:])
            if strengths is not None and gap.mean():
                alike = (ends[1, row] == ends[2, row]) & (strengths.numpy() != 0)
                room = np.where(alike, unseen(len(gap), inference.level) / abs(gap.mean()), 0.0)
                ends[1:, row] += np.stack([-room, room])
    return Estimate.of(ends)


def gaps_of(
    base: Float[Tensor, "problem metric"],
    post: Float[Tensor, "problem metric"],
    inference: Inference,
    *,
    identical: bool,
) -> Estimate:
    """The gap of each metric; shares are defined where it excludes 0.

    `post`: the target's; NaN where there is none. `identical`: whether the two are one model; if
    not, a gap that is the same in all problems leaves room for unseen others.
    """
    from scipy.special import stdtrit

    gap = post - base
    value, n = gap.mean(0), len(gap)
    half = float(stdtrit(n - 1, (1 + inference.level) / 2)) * gap.std(0) / n**0.5
    # Where every problem has the same gap there is no spread, and rounding must not make one.
    half[(gap == gap[0]).all(0)] = 0.0 if identical else unseen(n, inference.level)
    return Estimate(value=value, low=value - half, high=value + half)
