"""From numbers of tokens to numbers of problems, with intervals over problems."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from elicit.results import Estimate
from elicit.stats import Inference, joint_intervals


def mean_by_problem(
    values: Shaped[Tensor, "*part token"], problem: Int[Tensor, " token"], n_problems: int
) -> Float[Tensor, "*part problem"]:
    """Mean over the tokens of each problem, in float64; NaN where a problem has none."""
    sums = torch.zeros(*values.shape[:-1], n_problems, dtype=torch.float64)
    sums.index_add_(-1, problem, values.double())
    return sums / torch.bincount(problem, minlength=n_problems)


def joint_estimate(
    values: Shaped[Tensor, "problem ..."], *, inference: Inference = Inference()
) -> Estimate:
    """Mean over problems, with intervals that cover all parts at once; NaN ends of one problem."""
    flat = values.reshape(len(values), -1).double()
    known = flat.isfinite().all(dim=0)
    ends = flat.new_full((3, flat.shape[1]), torch.nan)
    if len(flat) < 2:
        ends[0] = flat[0]
    elif bool(known.any()):
        ends[:, known] = torch.from_numpy(
            joint_intervals(
                flat[:, known].numpy(),
                level=inference.level,
                n_resamples=inference.n_resamples,
                seed=inference.seed,
            )
        )
    return Estimate.of(ends.reshape(3, *values.shape[1:]))
