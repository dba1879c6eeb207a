"""Shares of the gap between two models' right answers, or why there is none."""

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Estimate
from elicit.stats import Inference, NoGapError, gap_share, outcome_shares, problem_mean


def share_or_reason(
    score: Float[Tensor, " problem"],
    base: Float[Tensor, " problem"],
    post: Float[Tensor, " problem"],
    inference: Inference,
) -> tuple[Estimate, str]:
    """Share of the gap with its interval, never clipped; NaN with the reason where there is none.

    The interval is that on which verdicts rest (`stats.outcome_shares`): Fieller's alone is too
    short for outcomes that are 0 or 1, and a point where a share is the same on all problems.
    """
    if bool(torch.stack([score, base, post]).isnan().any()):
        return Estimate.missing(), "no texts were drawn"
    row, low, high = (each.double().numpy() for each in (score, base, post))
    try:
        gap_share(row, low, high, level=inference.level)
    except NoGapError as error:
        return Estimate.missing(), str(error)
    found = Estimate.of(
        torch.from_numpy(outcome_shares((row - low)[:, None], high - low, level=inference.level))
    )[0]
    if bool(found.low.isnan()):
        return Estimate.missing(), (
            f"post is right on {high.mean():.3g} and base on {low.mean():.3g} of {len(row)} "
            "problems, and the interval of that gap includes 0, so a share of it could be any "
            "number. Use more problems."
        )
    return found, ""


def accuracies(rows: Float[Tensor, "row problem"], inference: Inference) -> Estimate:
    """Share right of each row, with pointwise intervals."""
    return Estimate.of_intervals(
        problem_mean(row, inference=inference, proportion=True) for row in rows
    )
