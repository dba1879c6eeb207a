"""Coverage: how much of what one model solves can the other reach with k samples?"""

from dataclasses import dataclass
from typing import Annotated

from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats.estimate import joint_estimate
from elicit.stats.inference import Inference
from elicit.stats.passk import PassCurve


@dataclass(frozen=True, eq=False, kw_only=True)
class Covered(Result):
    """Share of the problems that one model solves which the other passes too, beside chance."""

    k: Int[Tensor, " k"]
    """Samples that the covering model may draw."""
    covered: Annotated[Estimate, "k"]
    """Its mean pass@k on the solved problems, with intervals simultaneous over k."""
    floor: Annotated[Estimate, "k"]
    """The same with its samples graded against the answers of all other problems."""
    above: Annotated[Estimate, "k"]
    """covered - floor."""
    n_solved: int
    """Problems that the other model solves: the unit of the intervals."""
    level: float
    """Nominal coverage of the intervals."""


def covered(
    curve: PassCurve,
    solved: Bool[Tensor, " problem"],
    *,
    inference: Inference = Inference(),
) -> Covered:
    """Share of the problems that one model solves which the other passes too, beside chance.

    Args:
        curve: pass@k of the model that may cover, such as base, on all problems.
        solved: Whether the other model, such as post, solves each problem. What is called solved
            should be decided on other samples than those compared.
        inference: Coverage and resamples of the intervals, and the seed.

    Returns:
        Intervals hold for these solved problems' like; that which problems are solved is itself
        uncertain is not in them.

    Raises:
        ValueError: `solved` is for another number of problems, or fewer than 2 are solved.
    """
    n = int(solved.sum())
    if len(solved) != len(curve.by_problem) or n < 2:
        raise ValueError(
            f"solved says {n} of {len(solved)} problems and the curve has "
            f"{len(curve.by_problem)}: a share of fewer than 2 problems has no interval, and other "
            "problems are not covered by these. Pass one value for each problem of the curve."
        )
    passed, floor = curve.by_problem[solved], curve.floor_by_problem[solved]

    def joint(values: Float[Tensor, "problem k"], *, proportion: bool = False) -> Estimate:
        return joint_estimate(values, inference=inference, proportion=proportion)

    return Covered(
        k=curve.k,
        covered=joint(passed, proportion=True),
        floor=joint(floor).within(0.0, 1.0),
        above=joint(passed - floor).within(-1.0, 1.0),
        n_solved=n,
        level=inference.level,
    )
