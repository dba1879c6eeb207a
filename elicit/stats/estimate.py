"""Means over problems with the interval that fits them, for one number or for many at once.

A statistic that is no plain mean (a mean over rows of unequal problems, a ratio of sums, an area
under the ROC curve) is *linearised* first: one value a problem, of which the mean is the statistic
and the spread is its error to first order. Differences of two statistics over the same problems are
then differences of these values.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import ArrayLike
from torch import Tensor

from elicit.results import Estimate
from elicit.stats.bootstrap import Method, bootstrap_mean
from elicit.stats.few import unseen
from elicit.stats.inference import Inference
from elicit.stats.interval import Interval, wilson
from elicit.stats.simultaneous import joint_intervals


def problem_mean(
    values: Float[Tensor, " problem"] | Float[np.ndarray, " problem"],
    *,
    inference: Inference = Inference(),
    method: Method = "t",
    proportion: bool = False,
    span: float | None = None,
) -> Interval:
    """Mean over the problems that have a value, with the interval of this number alone.

    Args:
        values: One value a problem; NaN where a problem has none.
        inference: Coverage, resamples and seed.
        method: Bootstrap of `bootstrap_mean`; "bca" keeps the ends within the range of the data.
        proportion: Whether values are shares: if each is 0 or 1, the interval is Wilson's, because
            all right or all wrong leaves no spread to resample and is not certain for that. Its
            ends lie in 0 to 1.
        span: How far one problem may lie off where all that were seen are alike by chance and not
            by construction: that interval is then not a point but has room for unseen ones. None:
            values that are all alike are so by construction.

    Returns:
        NaN ends of fewer than two problems, which do not say how much problems differ.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return _unknown(float(known.mean()) if len(known) else float("nan"), len(known), inference)
    if proportion and np.isin(known, (0.0, 1.0)).all():
        return wilson(int(known.sum()), len(known), level=inference.level)
    if span is not None and np.ptp(known) == 0:
        room = span * unseen(len(known), inference.level)
        value = float(known[0])
        return Interval(
            value=value,
            low=value - room,
            high=value + room,
            level=inference.level,
            n=len(known),
            method="clopper-pearson",
        )
    found = bootstrap_mean(
        known,
        level=inference.level,
        n_resamples=inference.n_resamples,
        method=method,
        seed=inference.seed,
    )
    return found.within(0.0, 1.0) if proportion else found


def paired_difference(
    a: Float[Tensor, " problem"] | Float[np.ndarray, " problem"],
    b: Float[Tensor, " problem"] | Float[np.ndarray, " problem"],
    *,
    inference: Inference = Inference(),
    method: Method = "t",
    proportion: bool = False,
) -> Interval:
    """Mean of a - b over problems that have both.

    Args:
        a: One value a problem; NaN where a problem has none.
        b: What it is compared with, problem by problem.
        inference: Coverage, resamples and seed.
        method: Bootstrap of the difference and of both sides.
        proportion: Whether values are shares. Shares whose difference is the same in every problem
            have no spread to resample: their difference is as unsure as both sides together. Its
            ends are differences of shares, from -1 to 1.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    both = first - second
    known = both[~np.isnan(both)]
    if not proportion:
        return problem_mean(both, inference=inference, method=method)
    if len(known) >= 2 and np.ptp(known) == 0:
        sides = (
            problem_mean(side, inference=inference, method="bca", proportion=True)
            for side in (first, second)
        )
        return unpaired_difference(*sides).within(-1.0, 1.0)
    return problem_mean(both, inference=inference, method=method).within(-1.0, 1.0)


def unpaired_difference(a: Interval, b: Interval) -> Interval:
    """Difference of two means over different problems: their errors add up in squares.

    Args:
        a: Mean with its interval.
        b: What is taken from it.

    Source: square-and-add limits (Zou & Donner 2008), which need no symmetry.
    """
    value = a.value - b.value
    return Interval(
        value=value,
        low=value - float(np.hypot(a.value - a.low, b.high - b.value)),
        high=value + float(np.hypot(a.high - a.value, b.value - b.low)),
        level=a.level,
        n=min(a.n, b.n),
        method="square-and-add",
    )


def joint_estimate(
    values: Shaped[Tensor, "problem ..."],
    *,
    inference: Inference = Inference(),
    proportion: bool = False,
    span: float | None = None,
) -> Estimate:
    """Mean of every part over problems, with intervals that cover all parts at once.

    Args:
        values: What each problem says of every part; a part with a NaN is not measured.
        inference: Coverage, resamples and seed.
        proportion: Whether values are shares: a part that is 0 or 1 in every problem has no spread
            to resample, so Wilson's interval stands in, Bonferroni over parts; ends lie in 0 to 1.
        span: As for `problem_mean`, of every part that is the same in all problems; Bonferroni
            over parts.

    Returns:
        NaN where a part is not measured; NaN ends of fewer than two problems.
    """
    shape, n = values.shape[1:], len(values)
    flat = values.reshape(n, -1).double()
    known = flat.isfinite().all(dim=0)
    ends = flat.new_full((3, flat.shape[1]), torch.nan)
    if n < 2:
        ends[0] = flat[0]
    elif bool(known.any()):
        ends[:, known] = torch.from_numpy(
            joint_intervals(
                # Each part is contiguous in memory, so that its mean is the same to the last bit
                # whichever others are there.
                flat.T[known].contiguous().T.numpy(),
                level=inference.level,
                n_resamples=inference.n_resamples,
                seed=inference.seed,
            )
        )
    level = 1 - (1 - inference.level) / max(int(known.sum()), 1)
    if span is not None and n >= 2:
        alike = known & (flat.amin(0) == flat.amax(0))
        room = span * unseen(n, level)
        ends[1, alike], ends[2, alike] = flat[0, alike] - room, flat[0, alike] + room
    if proportion and n >= 2:
        constant = known & (flat.amin(0) == flat.amax(0)) & ((flat[0] == 0) | (flat[0] == 1))
        for part in constant.nonzero()[:, 0].tolist():
            alone = wilson(int(flat[0, part]) * n, n, level=level)
            ends[1, part], ends[2, part] = alone.low, alone.high
    if proportion:
        ends[1:] = ends[1:].clamp(0.0, 1.0)
    return Estimate.of(ends.reshape(3, *shape))


def linearised_mean(
    values: Float[Tensor, "*part row"], problem: Int[Tensor, " row"]
) -> Float[Tensor, "problem ..."]:
    """What each problem says of the mean over rows.

    A problem with many rows moves the mean more, so its deviation counts with their number. With
    one row each these are the values themselves.
    """
    present, inverse, size = problem.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(*values.shape[:-1], len(present), dtype=values.dtype)
    sums.index_add_(-1, inverse, values)
    if bool((size == 1).all()):
        return sums.movedim(-1, 0)
    mean = values.mean(dim=-1, keepdim=True)
    return (mean + (sums - mean * size) * (len(present) / len(problem))).movedim(-1, 0)


def linearised_ratio(
    above: Float[Tensor, "row ..."], below: Float[Tensor, "row ..."], problem: Int[Tensor, " row"]
) -> Float[Tensor, "problem ..."]:
    """What each problem says of a ratio of two sums over rows; NaN where the sum below is 0.

    Args:
        above: What each row adds to the sum above.
        below: What it adds to the sum below.
        problem: Number of each row's problem, from 0 on.
    """
    n = int(problem.max()) + 1

    def total(values: Tensor) -> Tensor:
        empty = torch.zeros(n, *values.shape[1:], dtype=torch.float64)
        return empty.index_add_(0, problem, values.double())

    over, under = total(above), total(below)
    ratio = over.sum(dim=0) / under.sum(dim=0)
    return ratio + n * (over - ratio * under) / under.sum(dim=0)


def linearised_auroc(
    scores: Float[Tensor, "*part row label"],
    target: Int[Tensor, " row"],
    problem: Int[Tensor, " row"],
) -> Float[Tensor, "problem ..."]:
    """What each problem says of the area under the ROC curve, one label against the rest, averaged.

    Args:
        scores: Score of every label; of two labels their difference is ranked.
        target: The right label.
        problem: Problem of each row.

    Source: DeLong et al. 1988, placement values summed by problem (Obuchowski 1997).
    """
    n_labels = scores.shape[-1]
    present, inverse = problem.unique(return_inverse=True)
    n = len(present)
    if n_labels == 2:
        ranked = [(scores[..., 1] - scores[..., 0], target == 1)]
    else:
        ranked = [(scores[..., label], target == label) for label in range(n_labels)]
    areas = [_placements(score.numpy(), is_in) for score, is_in in ranked if _mixed(is_in)]
    table = torch.zeros(n, *scores.shape[:-2], dtype=torch.float64)
    for area, shift in areas:
        sums = torch.zeros(*area.shape, n, dtype=torch.float64)
        sums.index_add_(-1, inverse, shift)
        table += (area[..., None] + n * sums).movedim(-1, 0)
    return table / len(areas)


def mean_by_problem(
    values: Shaped[Tensor, "*part row"], problem: Int[Tensor, " row"], n_problems: int
) -> Float[Tensor, "*part problem"]:
    """Mean over the rows of each problem, so that problems count alike; NaN where one has none.

    Args:
        values: One number a row.
        problem: Number of each row's problem, from 0 on.
        n_problems: Number of problems.
    """
    sums = torch.zeros(*values.shape[:-1], n_problems, dtype=torch.float64)
    sums.index_add_(-1, problem, values.double())
    return sums / torch.bincount(problem, minlength=n_problems)


def problem_numbers(names: Sequence[str]) -> Int[Tensor, " row"]:
    """Number of each row's problem, in the order in which problems first appear."""
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([known[name] for name in names], dtype=torch.long)


def _unknown(value: float, n: int, inference: Inference) -> Interval:
    nan = float("nan")
    return Interval(value=value, low=nan, high=nan, level=inference.level, n=n, method="none")


def _mixed(is_in: Bool[Tensor, " row"]) -> bool:
    """Whether there are rows of both kinds."""
    return bool(0 < is_in.sum() < len(is_in))


def _placements(score: ArrayLike, is_in: Bool[Tensor, " row"]) -> tuple[Tensor, Tensor]:
    """Area, and the share that each row has in its deviation."""
    from scipy.stats import rankdata

    score, inside = np.asarray(score), is_in.numpy()
    n_in, n_out = int(inside.sum()), int((~inside).sum())
    rank = rankdata(score, axis=-1)
    above = (rank[..., inside] - rankdata(score[..., inside], axis=-1)) / n_out
    below = 1 - (rank[..., ~inside] - rankdata(score[..., ~inside], axis=-1)) / n_in
    area = above.mean(axis=-1)
    shift = np.zeros_like(score)
    shift[..., inside] = (above - area[..., None]) / n_in
    shift[..., ~inside] = (below - area[..., None]) / n_out
    return torch.from_numpy(np.asarray(area)), torch.from_numpy(shift)
