"""Shares of the gap between two models' right answers, or why there is none."""

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Estimate
from elicit.stats import Inference, NoGapError, gap_share, problem_mean


def share_or_reason(
    score: Float[Tensor, " problem"],
    base: Float[Tensor, " problem"],
    post: Float[Tensor, " problem"],
    inference: Inference,
) -> tuple[Estimate, str]:
    """Share of the gap with its interval, never clipped; NaN with the reason where there is none.

    A share that is the same on all problems leaves room for problems that were not seen.
    """
    rows = (row.double().numpy() for row in (score, base, post))
    try:
        found = gap_share(*rows, level=inference.level, span=1.0)
    except NoGapError as error:
        return Estimate.missing(), str(error)
    return Estimate.of(torch.tensor([found.value, found.low, found.high]).double()), ""


def accuracies(rows: Float[Tensor, "row problem"], inference: Inference) -> Estimate:
    """Share right of each row, with pointwise intervals."""
    return Estimate.of_intervals(
        problem_mean(row, inference=inference, proportion=True) for row in rows
    )
