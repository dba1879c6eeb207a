"""Do harder tokens, steps or problems settle later?"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.results import Result
from elicit.revision.convention import DepthConvention
from elicit.revision.errors import RevisionError
from elicit.revision.settling import Settling
from elicit.revision.summing import by_problem
from elicit.stats import Inference, bootstrap_mean


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthByGroup(Result):
    """Settling depth of groups of tokens, in both models."""

    convention: DepthConvention
    """What settled means."""
    level: float
    """Nominal coverage of all intervals of a kind together (Bonferroni)."""
    model: tuple[str, ...]
    """The models: base, post."""
    group: tuple[str, ...]
    """Groups, in the order in which they were named."""
    n_tokens: Int[Tensor, " group"]
    """Tokens of each group."""
    n_problems: Int[Tensor, " group"]
    """Problems that have such tokens, the unit of the intervals."""
    depth: Float[Tensor, "model group"]
    """Mean settling depth, layers; problems count alike."""
    depth_low: Float[Tensor, "model group"]
    """Lower end; NaN where one problem has such tokens."""
    depth_high: Float[Tensor, "model group"]
    """Upper end."""
    diff: Float[Tensor, " group"]
    """Depth in post minus that in base on the same tokens, layers."""
    diff_low: Float[Tensor, " group"]
    """Lower end."""
    diff_high: Float[Tensor, " group"]
    """Upper end."""
    step: Float[Tensor, "model group"]
    """Depth minus that of the first group, within the problems that have both, layers; where no
    problem has both (difficulties, say), between different problems."""
    step_low: Float[Tensor, "model group"]
    """Lower end; NaN for the first group."""
    step_high: Float[Tensor, "model group"]
    """Upper end."""


def depth_by_group(
    found: Settling,
    groups: Sequence[str | float | int | None],
    *,
    order: Sequence[str] | None = None,
    inference: Inference = Inference(),
) -> DepthByGroup:
    """Settling depth of groups of tokens, each held against the first group.

    Args:
        found: Depths that were read.
        groups: Group of each token read (a difficulty, a kind of step), in their order; None leaves
            a token out.
        order: Names of the groups, the one that others are held against first; by size of number
            or alphabet if None.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        RevisionError: Groups and tokens do not match, or there are fewer than two groups.
    """
    if len(groups) != len(found.token):
        raise RevisionError(
            f"there are {len(groups)} groups and {len(found.token)} tokens were read, so they "
            "cannot be matched. Give one for every token, in the order of the traces."
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
            + ", so nothing could be compared. Name at least two groups that tokens have."
        )
    place = {name: i for i, name in enumerate(names)}
    of = torch.tensor([-1 if g is None else place.get(str(g), -1) for g in groups])
    n = len(found.problem)
    # [model group problem], NaN where a problem has no such token.
    each = torch.stack(
        [
            by_problem(found.depth[:, of == i].double(), found.problem_of[of == i], n)
            for i in range(len(names))
        ],
        dim=1,
    )
    level = 1 - (1 - found.level) / (len(names) * len(found.model))
    options = {"level": level, "n_resamples": inference.n_resamples, "seed": inference.seed}
    depth = _ends([[_mean(line, **options) for line in own] for own in each])
    diff = _ends([_mean(line, **options) for line in each[1] - each[0]])
    step = _ends([[_step(line, own[0], **options) for line in own] for own in each])
    return DepthByGroup(
        convention=found.convention,
        level=found.level,
        model=found.model,
        group=tuple(names),
        n_tokens=torch.tensor([int((of == i).sum()) for i in range(len(names))]),
        n_problems=(~each[0].isnan()).sum(-1),
        depth=depth[0],
        depth_low=depth[1],
        depth_high=depth[2],
        diff=diff[0],
        diff_low=diff[1],
        diff_high=diff[2],
        step=step[0],
        step_low=step[1],
        step_high=step[2],
        provenance=found.provenance,
    )


def _ends(found: Sequence) -> tuple[Tensor, Tensor, Tensor]:
    """Values, lower and upper ends as tensors."""
    value, low, high = torch.tensor(found, dtype=torch.float64).unbind(-1)
    return value, low, high


def _mean(
    values: Float[Tensor, " problem"], *, inference: Inference = Inference()
) -> tuple[float, float, float]:
    """Mean over the problems that have a value."""
    there = values[~values.isnan()]
    if len(there) < 2:
        value = there.mean().item() if len(there) else torch.nan
        return value, torch.nan, torch.nan
    found = bootstrap_mean(
        there.numpy(), level=inference.level, n_resamples=inference.n_resamples, seed=inference.seed
    )
    return found.value, found.low, found.high


def _step(
    values: Float[Tensor, " problem"],
    first: Float[Tensor, " problem"],
    *,
    inference: Inference = Inference(),
) -> tuple[float, float, float]:
    """Difference from the first group, paired where problems have both."""
    if values is first or torch.equal(values.nan_to_num(), first.nan_to_num()):
        return 0.0, torch.nan, torch.nan
    paired = values - first
    if not bool(paired.isnan().all()):
        return _mean(paired, inference=inference)
    # Different problems: their errors add up, as Welch's do.
    a = _mean(values, inference=inference)
    b = _mean(first, inference=inference)
    value = a[0] - b[0]
    below = ((a[0] - a[1]) ** 2 + (b[2] - b[0]) ** 2) ** 0.5
    above = ((a[2] - a[0]) ** 2 + (b[0] - b[1]) ** 2) ** 0.5
    return value, value - below, value + above
