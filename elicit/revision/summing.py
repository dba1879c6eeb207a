"""From numbers of tokens to numbers of problems, with intervals over problems."""

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from elicit.stats import Inference, joint_intervals


def by_problem(
    values: Shaped[Tensor, "*part token"], group: Int[Tensor, " token"], n: int
) -> Float[Tensor, "*part problem"]:
    """Mean over the tokens of each problem, in float64; NaN where a problem has none.

    Args:
        values: One number a token.
        group: Problem of each token.
        n: Number of problems.
    """
    sums = torch.zeros(*values.shape[:-1], n, dtype=torch.float64)
    sums.index_add_(-1, group, values.double())
    return sums / torch.bincount(group, minlength=n)


def over_problems(
    values: Float[Tensor, "*part problem"], *, inference: Inference = Inference()
) -> tuple[Float[Tensor, "*part"], Float[Tensor, "*part"], Float[Tensor, "*part"]]:
    """Mean over problems with its lower and upper end, the ends jointly over all parts.

    Args:
        values: One number a problem.
        inference: Coverage and resamples of the intervals, and the seed.

    Returns:
        Value, low, high; the ends are NaN where there is one problem only, which does not say how
        much problems differ.
    """
    flat = values.reshape(-1, values.shape[-1]).T.numpy()
    if len(flat) < 2:
        found = np.stack([flat[0], np.full_like(flat[0], np.nan), np.full_like(flat[0], np.nan)])
    else:
        found = joint_intervals(
            flat, level=inference.level, n_resamples=inference.n_resamples, seed=inference.seed
        )
    value, low, high = (
        torch.from_numpy(np.ascontiguousarray(end)).reshape(values.shape[:-1]) for end in found
    )
    return value, low, high
