"""How sure a number over problems is: shares, areas and other smooth functions of sums."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from torch import Tensor

from elicit.stats import Inference, simultaneous_intervals, wilson


@dataclass(frozen=True, eq=False, kw_only=True)
class Ends:
    """Values with the ends of their joint intervals, each in the shape that was asked for."""

    value: Tensor
    low: Tensor
    high: Tensor


def by_problem(
    values: Float[Tensor, "*part example"], group: Int[Tensor, " example"]
) -> Float[Tensor, "problem ..."]:
    """What each problem says of the mean over examples: the mean of these is that mean exactly.

    A problem with many examples moves the mean more, so that its deviation counts with their number
    (the linear part of a ratio). With one example each these are the values themselves.

    Args:
        values: One value an example.
        group: Problem of each example.
    """
    present, inverse, size = group.unique(return_inverse=True, return_counts=True)
    mean = values.mean(dim=-1, keepdim=True)
    sums = torch.zeros(*values.shape[:-1], len(present), dtype=values.dtype)
    sums.index_add_(-1, inverse, values)
    if bool((size == 1).all()):
        return sums.movedim(-1, 0)
    told = mean + (sums - mean * size) * (len(present) / len(group))
    return told.movedim(-1, 0)


def joint(
    table: Float[Tensor, "problem ..."],
    *,
    inference: Inference = Inference(),
    shares: bool = False,
) -> Ends:
    """Mean of every part, with intervals that hold for all parts at once.

    Args:
        table: What each problem says of every part; parts that are NaN stay so.
        inference: Coverage and resamples of the intervals, and the seed.
        shares: Whether values are shares of right answers: all right or all wrong has no spread to
            resample and is not certain for that, so Wilson's interval stands in, Bonferroni over
            parts.
    """
    shape = table.shape[1:]
    flat = table.reshape(len(table), -1).double()
    known = flat.isfinite().all(dim=0)
    found = flat.new_full((3, flat.shape[1]), torch.nan)
    if bool(known.any()):
        told = simultaneous_intervals(
            flat[:, known].numpy(),
            level=inference.level,
            n_resamples=inference.n_resamples,
            seed=inference.seed,
        )
        found[:, known] = torch.from_numpy(np.stack([told.value, told.low, told.high]))
    if shares:
        alone = 1 - (1 - inference.level) / max(int(known.sum()), 1)
        for part in (known & (flat.amin(0) == flat.amax(0))).nonzero()[:, 0].tolist():
            value = float(flat[0, part])
            if value in (0.0, 1.0):
                n = len(flat)
                ends = wilson(int(value * n), n, level=alone)
                found[1, part], found[2, part] = ends.low, ends.high
    value, low, high = found.reshape(3, *shape)
    return Ends(value=value, low=low, high=high)


def ratio(
    above: Float[Tensor, "row ..."],
    below: Float[Tensor, "row ..."],
    group: Int[Tensor, " row"],
    *,
    inference: Inference = Inference(),
) -> Ends:
    """A ratio of two sums over rows, with joint intervals of its linear part, by problem.

    Args:
        above: What each row adds to the sum above.
        below: What it adds to the sum below.
        group: Problem of each row, from 0 on.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    n = int(group.max()) + 1

    def total(values: Tensor) -> Tensor:
        empty = torch.zeros(n, *values.shape[1:], dtype=torch.float64)
        return empty.index_add_(0, group, values)

    over, under = total(above), total(below)
    value = over.sum(dim=0) / under.sum(dim=0)
    told = value + n * (over - value * under) / under.sum(dim=0)
    return joint(told, inference=inference)


def correct(
    scores: Float[Tensor, "*part example label"], target: Int[Tensor, "*#part example"]
) -> Float[Tensor, "*part example"]:
    """1 where the highest score is the right label's, else 0.

    Args:
        scores: Score of every label.
        target: The right one; parts that it leaves out share it.
    """
    return (scores.argmax(dim=-1) == target).double()


def area(
    scores: Float[Tensor, "*part example label"],
    target: Int[Tensor, " example"],
    group: Int[Tensor, " example"],
) -> Float[Tensor, "problem ..."]:
    """What each problem says of the area under the ROC curve, one label against the rest, averaged.

    Args:
        scores: Score of every label; of two labels their difference is ranked.
        target: The right one.
        group: Problem of each example.

    Source: DeLong et al. 1988, placement values summed by problem (Obuchowski 1997).
    """
    n_labels = scores.shape[-1]
    present, inverse = group.unique(return_inverse=True)
    n = len(present)
    if n_labels == 2:
        ranked = [(scores[..., 1] - scores[..., 0], target == 1)]
    else:
        ranked = [(scores[..., label], target == label) for label in range(n_labels)]
    told = [_placements(score.numpy(), own) for score, own in ranked if 0 < own.sum() < len(own)]
    table = torch.zeros(n, *scores.shape[:-2], dtype=torch.float64)
    for value, shift in told:
        sums = torch.zeros(*value.shape, n, dtype=torch.float64)
        sums.index_add_(-1, inverse, shift)
        table += (value[..., None] + n * sums).movedim(-1, 0)
    return table / len(told)


def _placements(score: np.ndarray, own: Bool[Tensor, " example"]) -> tuple[Tensor, Tensor]:
    """Area, and the share that each example has in its deviation."""
    inside = own.numpy()
    n_own, n_rest = int(inside.sum()), int((~inside).sum())
    rank = rankdata(score, axis=-1)
    above = (rank[..., inside] - rankdata(score[..., inside], axis=-1)) / n_rest
    below = 1 - (rank[..., ~inside] - rankdata(score[..., ~inside], axis=-1)) / n_own
    value = above.mean(axis=-1)
    shift = np.zeros_like(score)
    shift[..., inside] = (above - value[..., None]) / n_own
    shift[..., ~inside] = (below - value[..., None]) / n_rest
    return torch.from_numpy(np.asarray(value)), torch.from_numpy(shift)
