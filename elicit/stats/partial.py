"""Partial rank correlation: do two quantities go together where a third is held fixed?"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.stats.estimate import problem_mean
from elicit.stats.inference import Inference
from elicit.stats.interval import Interval
from elicit.stats.jackknife import jackknifed


def partial_spearman(
    x: Float[Tensor, " row"],
    y: Float[Tensor, " row"],
    problem: Int[Tensor, " row"],
    *,
    given: Float[Tensor, "held row"] | None = None,
    inference: Inference = Inference(),
) -> Interval:
    """Spearman's rank correlation of two quantities, others held fixed.

    Args:
        x: One number a row, any unit: the length of a trace, say.
        y: What it is held against: the work that the problem needs.
        problem: Number of each row's problem, the unit of the interval.
        given: What is held fixed: the distance of the problem from what the model knows. None: the
            plain rank correlation.
        inference: Coverage and resamples of the interval, and the seed.

    Returns:
        NaN where x or y does not vary beyond what is held fixed. NaN ends where every problem
        agrees with a correlation of ±1, which has no spread, or where it is undefined without some
        problem.

    Raises:
        ValueError: The columns have different lengths, or hold NaN.

    Source: Spearman 1904; partial correlation of ranks by regression (Kendall 1942). The
        interval is that of Fisher's z, by the jackknife over problems: it stays within [-1, 1].
    """
    held = torch.zeros(0, len(x)) if given is None else given
    columns = [x, y, *held]
    odd = [c for c in columns if len(c) != len(problem) or bool(c.isnan().any())]
    if odd or len(problem) == 0:
        raise ValueError(
            f"x, y and what is given have {[len(c) for c in columns]} rows for {len(problem)} "
            f"problems, and {sum(int(c.isnan().sum()) for c in columns)} values are NaN, so they "
            "cannot be ranked together. Pass one number a row in each, without NaN."
        )
    table = np.stack([c.double().numpy() for c in columns])

    def z(kept: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.arctanh([_partial(table[:, kept])])

    found = jackknifed(z, problem) if abs(_partial(table)) < 1 else None
    if found is None or not bool(found.by_problem.isfinite().all()):
        nan = float("nan")
        return Interval(
            value=_partial(table),
            low=nan,
            high=nan,
            level=inference.level,
            n=len(problem.unique()),
            method="none",
        )
    ends = problem_mean(found.by_problem[:, 0], inference=inference)
    return Interval(
        value=_partial(table),
        low=float(np.tanh(ends.low)),
        high=float(np.tanh(ends.high)),
        level=inference.level,
        n=ends.n,
        method="fisher-z, jackknife",
    )


def _partial(table: Float[np.ndarray, "column row"]) -> float:
    """Correlation of the first two columns' ranks, those of the others regressed out."""
    from scipy.stats import rankdata

    ranks = rankdata(table, axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    pair, held = ranks[:2].T, ranks[2:].T
    whole = np.sqrt((pair**2).sum(axis=0))
    if held.shape[1]:
        pair = pair - held @ np.linalg.lstsq(held, pair, rcond=None)[0]
    size = np.sqrt((pair**2).sum(axis=0))
    # What is left of a column that the held ones explain whole is a rounding error.
    if (size <= 1e-9 * np.maximum(whole, 1)).any():
        return float("nan")
    unit = pair / size
    product = float(unit[:, 0] @ unit[:, 1])
    return float(np.sign(product)) if abs(product) > 1 - 1e-12 else product
