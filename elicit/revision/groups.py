"""Do harder tokens, steps or problems settle later?"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.revision.convention import DepthConvention
from elicit.revision.errors import RevisionError
from elicit.revision.settling import Settling
from elicit.stats import Inference, Interval, mean_by_problem, problem_mean, unpaired_difference

LAYER = 1.0
"""How far a problem may lie off where all that were seen are alike: depths are whole layers."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthByGroup(Result):
    """Settling depth of groups of tokens, in both models."""

    convention: DepthConvention
    """Definition of settled."""
    level: float
    """Nominal coverage of all intervals of a kind together (Bonferroni)."""
    model: tuple[str, ...]
    """The models: base, post."""
    group: tuple[str, ...]
    """Groups, in the given order."""
    n_tokens: Int[Tensor, " group"]
    """Number of tokens of each group."""
    n_problems: Int[Tensor, " group"]
    """Number of problems with such tokens, the unit of the intervals."""
    depth: Annotated[Estimate, "model group"]
    """Mean settling depth, layers, over equally weighted problems. NaN interval if only one problem
    has such tokens."""
    diff: Annotated[Estimate, " group"]
    """Depth, post minus base on the same tokens, layers."""
    step: Annotated[Estimate, "model group"]
    """Depth minus that of the first group, layers: within problems that have both or, if none has
    both (for instance difficulties), between problems. NaN interval for the first group."""


def depth_by_group(
    settling: Settling,
    groups: Sequence[str | float | int | None],
    *,
    order: Sequence[str] | None = None,
    inference: Inference = Inference(),
) -> DepthByGroup:
    """Settling depth of groups of tokens, each compared with the first group.

    Args:
        settling: Settling depths.
        groups: Group of each token (a difficulty, a kind of step), in token order; None leaves a
            token out.
        order: Names of the groups, the reference first; None sorts by number or alphabet.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        RevisionError: Groups and tokens do not match, or there are fewer than two groups.
    """
    if len(groups) != len(settling.token):
        raise RevisionError(
            f"there are {len(groups)} groups and {len(settling.token)} tokens were read, so they "
            "cannot be matched. Pass one per token, in the order of the rows."
        )
    given = {group for group in groups if group is not None}
    numbers = all(isinstance(group, int | float) for group in given)
    ordered = sorted(given, key=(lambda g: g) if numbers else str)
    names = list(order) if order is not None else [str(group) for group in ordered]
    missing = sorted(set(names) - {str(group) for group in given})
    if len(names) < 2 or missing:
        raise RevisionError(
            f"the groups are {names}"
            + (f" and no token belongs to {', '.join(missing)}" if missing else "")
            + ". Name at least two groups that have tokens."
        )
    number = {name: i for i, name in enumerate(names)}
    of = torch.tensor([-1 if g is None else number.get(str(g), -1) for g in groups])
    n = len(settling.problem)
    # [model group problem], NaN: the problem has no such token.
    each = torch.stack(
        [
            mean_by_problem(settling.depth[:, of == i], settling.problem_of[of == i], n)
            for i in range(len(names))
        ],
        dim=1,
    )
    identical = bool(torch.equal(settling.jsd[0], settling.jsd[1]))
    level = 1 - (1 - settling.level) / (len(names) * len(settling.model))
    inference = dataclasses.replace(inference, level=level)
    depth = [_means(model, inference, LAYER) for model in each]
    step = [[_step(values, model[0], inference) for values in model] for model in each]
    return DepthByGroup(
        convention=settling.convention,
        level=settling.level,
        model=settling.model,
        group=tuple(names),
        n_tokens=torch.tensor([int((of == i).sum()) for i in range(len(names))]),
        n_problems=(~each[0].isnan()).sum(-1),
        depth=Estimate.stack(depth),
        diff=_means(each[1] - each[0], inference, None if identical else LAYER),
        step=Estimate.stack(Estimate.of_intervals(model) for model in step),
        provenance=settling.provenance,
    )


def _means(
    values: Float[Tensor, "group problem"], inference: Inference, span: float | None
) -> Estimate:
    """Mean of each group over the problems that have a value."""
    return Estimate.of_intervals(
        problem_mean(group, inference=inference, span=span) for group in values
    )


def _step(
    values: Float[Tensor, " problem"], first: Float[Tensor, " problem"], inference: Inference
) -> Interval:
    """Difference from the first group, paired where problems have both."""
    if torch.equal(values.nan_to_num(), first.nan_to_num()):
        return Interval(
            value=0.0, low=torch.nan, high=torch.nan, level=inference.level, n=0, method="none"
        )
    paired = values - first
    if not bool(paired.isnan().all()):
        return problem_mean(paired, inference=inference, span=LAYER)
    return unpaired_difference(
        problem_mean(values, inference=inference, span=LAYER),
        problem_mean(first, inference=inference, span=LAYER),
    )
