"""Discrimination: does a score rank right answers above wrong ones?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats.estimate import linearised_auroc
from elicit.stats.few import unseen
from elicit.stats.inference import Inference
from elicit.stats.jackknife import Jackknife

_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False, kw_only=True)
class Discrimination(Result):
    """How well each score ranks right answers above wrong ones."""

    score: tuple[str, ...]
    """Score ranked; put the negative length beside every other."""
    auroc: Annotated[Estimate, "score"]
    """Chance that a right answer scores above a wrong one, ties counted half, with intervals
    simultaneous over scores: .5 tells nothing. NaN where all are right or all wrong."""
    problem: Int[Tensor, " problem"]
    """Number of each problem."""
    by_problem: Float[Tensor, "problem score"]
    """What each problem says of each AUROC: the mean over problems is the AUROC, and two models or
    two scores differ by the mean of the difference."""
    n_answers: int
    """Answers."""
    n_errors: int
    """Wrong answers: without any there is no AUROC."""
    level: float
    """Nominal coverage of the intervals."""


def measure_discrimination(
    scores: Mapping[str, Float[Tensor, " row"]],
    correct: Bool[Tensor, " row"],
    problem: Int[Tensor, " row"],
    *,
    inference: Inference = Inference(),
) -> Discrimination:
    """How well each of several scores ranks right answers above wrong ones.

    Args:
        scores: Score of each answer by its name, any unit, higher for what should be right.
        correct: Whether the answer is right.
        problem: Number of its problem, the unit of all intervals.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        ValueError: There are no scores or no answers, one has another number of answers, or holds
            NaN.

    Source: DeLong et al. 1988, clustered by problem (Obuchowski 1997).
    """
    if not scores or len(correct) == 0:
        raise ValueError(
            f"there are {len(scores)} scores of {len(correct)} answers, so nothing can be ranked. "
            "Pass at least one score and one answer."
        )
    for name, score in scores.items():
        if len(score) != len(correct) or bool(score.isnan().any()):
            raise ValueError(
                f"{name!r} has {len(score)} values, {int(score.isnan().sum())} of them NaN, and "
                f"there are {len(correct)} answers, so they cannot be ranked. Pass one number for "
                "each answer, the same answers for all scores."
            )
    ranked = torch.stack([one.double() for one in scores.values()])
    found = area_by_problem(ranked, correct, problem)
    return Discrimination(
        score=tuple(scores),
        auroc=area_estimate(found, correct, problem, inference=inference),
        problem=problem.unique(),
        by_problem=found.by_problem,
        n_answers=len(correct),
        n_errors=int((~correct).sum()),
        level=inference.level,
    )


def area_by_problem(
    scores: Float[Tensor, "score row"], correct: Bool[Tensor, " row"], problem: Int[Tensor, " row"]
) -> Jackknife:
    """AUROC of each score, and what each problem says of it; NaN with one kind of answer only."""
    if bool(correct.all()) or not bool(correct.any()):
        nan = torch.full((len(problem.unique()), len(scores)), torch.nan, dtype=torch.float64)
        return Jackknife(value=nan[0], by_problem=nan)
    both = torch.stack([torch.zeros_like(scores), scores], dim=-1)
    table = linearised_auroc(both, correct.long(), problem)
    return Jackknife(value=table.mean(dim=0), by_problem=table)


def area_estimate(
    found: Jackknife,
    correct: Bool[Tensor, " row"],
    problem: Int[Tensor, " row"],
    *,
    inference: Inference,
) -> Estimate:
    """AUROC of each score with its interval, jointly over scores.

    A perfect order has no spread to resample and is not certain for that: its other end leaves room
    for a problem unlike those seen, of which there are as many as the rarer kind of answer has.
    """
    ends = found.together(inference=inference)
    low, high = ends.low.clone(), ends.high.clone()
    room = unseen(_fewest(correct, problem), 1 - (1 - inference.level) / len(found.value))
    low[found.value > 1 - _ROUNDING], high[found.value > 1 - _ROUNDING] = 1 - room, 1.0
    low[found.value < _ROUNDING], high[found.value < _ROUNDING] = 0.0, room
    return Estimate(value=found.value, low=low, high=high)


def _fewest(correct: Tensor, problem: Tensor) -> int:
    """Problems with a right answer or with a wrong one, whichever are fewer; at least 1."""
    return max(1, min(len(problem[correct].unique()), len(problem[~correct].unique())))
