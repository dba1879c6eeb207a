"""Means over the problems of each group, with intervals that hold for all groups at once."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.results import ElicitError, Estimate, Result
from elicit.stats.estimate import paired_difference, problem_mean, unpaired_difference
from elicit.stats.inference import Inference
from elicit.stats.interval import Interval

MOST_GROUPS = 24
"""More groups than this leave too few problems in each, and too wide intervals for all."""


class GroupError(ElicitError):
    """Groups that nothing can be said about."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupMeans(Result):
    """Means over the problems of each group, in one or several measures."""

    by: str
    """Key of the problems that names their group."""
    of: str
    """What was measured, and on which problems."""
    unit: str
    """Unit of the means."""
    level: float
    """Nominal coverage of all intervals of a kind together (Bonferroni)."""
    measure: tuple[str, ...]
    """What is averaged, such as base, post, and post minus base on the same problems."""
    group: tuple[str, ...]
    """Groups, sorted by number or alphabet."""
    n: Int[Tensor, " group"]
    """Problems of each group, the unit of its intervals."""
    mean: Annotated[Estimate, "measure group"]
    """Mean over the problems of the group. NaN interval of a single problem."""
    apart: Annotated[Estimate, "measure group"]
    """Mean of the group minus the mean of all other problems; its interval excludes 0 where the
    group differs from the rest."""


def by_group(
    values: Mapping[str, Float[Tensor, " problem"]],
    groups: Sequence[Hashable],
    *,
    by: str,
    of: str = "",
    unit: str = "share",
    minus: tuple[str, str] | None = None,
    inference: Inference = Inference(),
) -> GroupMeans:
    """Means over the problems of each group.

    Args:
        values: One value a problem, for each measure; NaN where a problem has none.
        groups: Group of each problem.
        by: What the groups are called together, such as `subject`.
        of: What was measured, and on which problems.
        unit: Unit of the values; means of a `share` lie in 0 to 1 (Wilson's interval where values
            are 0 and 1).
        minus: Two measures whose paired difference is a measure of its own, first minus second.
        inference: Coverage, resamples and seed.

    Raises:
        GroupError: Values and groups do not match, there are fewer than two groups, or more than
            `MOST_GROUPS`.
    """
    names = _names(groups)
    sizes = {len(column) for column in values.values()} | {len(groups)}
    if len(sizes) != 1 or not values:
        raise GroupError(
            f"there are {len(groups)} groups and {', '.join(map(str, sorted(sizes)))} values, so "
            "they cannot be matched. Pass one group and one value of each measure per problem."
        )
    if not 2 <= len(names) <= MOST_GROUPS:
        raise GroupError(
            f"{by!r} makes {len(names)} groups of {len(groups)} problems, and 2 to {MOST_GROUPS} "
            "can be compared. Group by another key."
        )
    of_group = np.array([names.index(str(group)) for group in groups])
    measures = [*values, *([f"{minus[0]} minus {minus[1]}"] if minus else [])]
    level = 1 - (1 - inference.level) / (len(measures) * len(names))
    joint = dataclasses.replace(inference, level=level)
    columns = {name: column.detach().double().numpy() for name, column in values.items()}

    def mean(measure: str, kept: np.ndarray) -> Interval:
        if measure in columns:
            share = unit == "share"
            method = "bca" if share else "t"
            return problem_mean(
                columns[measure][kept], inference=joint, proportion=share, method=method, span=1.0
            )
        first, second = (columns[name][kept] for name in minus or ())
        return paired_difference(first, second, inference=joint, proportion=unit == "share")

    rows = [[mean(m, of_group == g) for g in range(len(names))] for m in measures]
    rest = [[mean(m, of_group != g) for g in range(len(names))] for m in measures]
    return GroupMeans(
        by=by,
        of=of,
        unit=unit,
        level=inference.level,
        measure=tuple(measures),
        group=names,
        n=torch.tensor([int((of_group == g).sum()) for g in range(len(names))]),
        mean=Estimate.stack(Estimate.of_intervals(row) for row in rows),
        apart=Estimate.stack(
            Estimate.of_intervals(map(unpaired_difference, one, other))
            for one, other in zip(rows, rest, strict=True)
        ),
    )


def _names(groups: Sequence[Hashable]) -> tuple[str, ...]:
    given = set(groups)
    numbers = [g for g in given if isinstance(g, int | float) and not isinstance(g, bool)]
    ordered = sorted(numbers) if len(numbers) == len(given) else sorted(given, key=str)
    return tuple(dict.fromkeys(map(str, ordered)))
