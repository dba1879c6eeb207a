"""Inference from values: roles of tasks, intervals of effects, verdicts of parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.grafting.roles import LayerRoles
from elicit.grafting.score import Score
from elicit.grafting.sweep import Direction
from elicit.pair import ModelPair
from elicit.results import Estimate
from elicit.stats import (
    Inference,
    joint_estimate,
    problem_mean,
    problems_needed,
    simultaneous_intervals,
    wilson,
)
from elicit.weights import Part, is_changed

DIRECTIONS: tuple[Direction, ...] = ("revert", "graft")
LEAST_PROBLEMS = 5
"""Minimum number of problems for a task to have a role."""
SHARES = (("damage", True, False), ("damage", True, True), ("skill", False, True),
          ("skill", True, True))  # fmt: skip
"""For each share: role of the task, whether base solves the problem, whether post does."""


@dataclass(frozen=True, kw_only=True)
class Margins:
    """Minimum gap and effect sizes."""

    gap: float = 0.05
    """Minimum gap that gives a task a role, in the task's unit."""
    share: float = 0.05
    """Minimum effect for a verdict, as a share of the task's gap."""


@dataclass(frozen=True, eq=False)
class ValueTable:
    """Values of one task under every move."""

    score: Score
    """The task and how it is scored."""
    hosts: dict[str, Float[Tensor, " problem"]]
    """`base` and `post`."""
    moved: dict[str, Float[Tensor, "part problem"]]
    """Values with each part moved, by direction."""
    control: dict[str, Float[Tensor, "part problem"]]
    """Values of the controls, by direction; NaN: not run."""

    def effects(self, direction: Direction, *, control: bool) -> Float[Tensor, "problem part"]:
        """Values of the host with each part moved minus those of the unmodified host."""
        host = self.hosts["post" if direction == "revert" else "base"]
        return ((self.control if control else self.moved)[direction] - host).T


def conclude(
    pair: ModelPair,
    parts: Sequence[Part],
    tables: Sequence[ValueTable],
    *,
    margins: Margins,
    inference: Inference,
) -> LayerRoles:
    """Roles, intervals and verdicts from the values of every problem.

    Args:
        pair: The two models.
        parts: Moved parts.
        tables: Values, one table per task.
        margins: Minimum gap and effect.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    changed = torch.tensor([is_changed(pair, part) for part in parts], dtype=torch.bool)
    gap = Estimate.stack([_gap(table, inference, identical=pair.identical) for table in tables])
    roles = [
        _role(gap[t], margins.gap) if len(table.score.task) >= LEAST_PROBLEMS else "none"
        for t, table in enumerate(tables)
    ]
    kinds = [part.kind for part in parts]
    revert, graft = (
        Estimate.stack([_effects(table, d, kinds, changed, inference) for table in tables])
        for d in DIRECTIONS
    )
    control_revert, control_graft = (
        Estimate.stack([_control(table, d, inference) for table in tables]) for d in DIRECTIONS
    )
    corrupted, carries_skill = (
        changed & _named(role, roles, gap, revert, graft, margins.share)
        for role in ("damage", "skill")
    )
    scores = [table.score for table in tables]
    return LayerRoles(
        provenance=pair.provenance(
            inference.seed,
            {
                "scores": [score.to_json() for score in scores],
                "level": inference.level,
                "margin": margins.gap,
                "share_margin": margins.share,
                "n_resamples": inference.n_resamples,
            },
            task_digests={score.task.name: score.task.digest for score in scores},
        ),
        task=tuple(score.task.name for score in scores),
        role=tuple(roles),
        unit=tuple(score.unit for score in scores),
        n_problems=torch.tensor([len(score.task) for score in scores]),
        base_score=torch.stack([table.hosts["base"].mean() for table in tables]),
        post_score=torch.stack([table.hosts["post"].mean() for table in tables]),
        gap=gap,
        part=tuple(part.name for part in parts),
        kind=tuple(kinds),
        layer=torch.tensor([part.layers[0] if part.layers else -1 for part in parts]),
        changed=changed,
        corrupted=corrupted,
        carries_skill=carries_skill,
        revert=revert,
        graft=graft,
        control_revert=control_revert,
        control_graft=control_graft,
        solved=_solved(tables, roles, len(parts)),
        needed=tuple(_needed(table, changed) for table in tables),
        level=inference.level,
        margin=margins.gap,
        share_margin=margins.share,
    )


def _gap(table: ValueTable, inference: Inference, *, identical: bool) -> Estimate:
    """Post minus base, with a nonzero interval width even if all problems agree."""
    differences = table.hosts["post"] - table.hosts["base"]
    gap = Estimate.of_intervals([problem_mean(differences, inference=inference)])
    if table.score.metric == "correct" and not identical:
        gap = _widened(gap, differences[:, None], inference)
    return gap[0]


def _effects(
    table: ValueTable,
    direction: Direction,
    kinds: Sequence[str],
    changed: Bool[Tensor, " part"],
    inference: Inference,
) -> Estimate:
    """Effect of every part on one task, simultaneous over the parts of one kind."""
    effects = table.effects(direction, control=False)
    ends = effects.new_full((3, len(kinds)), torch.nan)
    for kind in dict.fromkeys(kinds):
        columns = torch.tensor([own == kind for own in kinds])
        joint = joint_estimate(effects[:, columns], inference=inference)
        if table.score.metric == "correct":
            each = replace(inference, level=1 - (1 - inference.level) / int(columns.sum()))
            joint = _widened(joint, effects[:, columns], each)
        # What did not change has no effect by construction, whatever others show.
        still = ~changed[columns]
        low, high = (torch.where(still, joint.value, end) for end in (joint.low, joint.high))
        ends[:, columns] = torch.stack([joint.value, low, high])
    return Estimate.of(ends)


def _needed(table: ValueTable, changed: Bool[Tensor, " part"]) -> int:
    """Problems that the effects of changed parts on one task call for."""
    moved = [table.effects(way, control=False)[:, changed] for way in DIRECTIONS]
    ran = [effects[:, ~effects.isnan().any(dim=0)] for effects in moved]
    each = [problems_needed(effects).max() for effects in ran if effects.shape[1]]
    return int(max(each, default=2)) if len(table.score.task) > 1 else 2


def _control(table: ValueTable, direction: Direction, inference: Inference) -> Estimate:
    """Effect of every control on one task, with pointwise intervals."""
    effects = table.effects(direction, control=True)
    ends = effects.new_full((3, effects.shape[1]), torch.nan)
    ran = ~effects.isnan().any(dim=0)
    if bool(ran.any()):
        alone = simultaneous_intervals(
            effects[:, ran].numpy(),
            level=inference.level,
            n_resamples=inference.n_resamples,
            seed=inference.seed,
        )
        for end, values in enumerate((alone.value, *alone.alone)):
            ends[end, ran] = torch.from_numpy(values)
    return Estimate.of(ends)


def _widened(
    estimate: Estimate, differences: Float[Tensor, "problem part"], inference: Inference
) -> Estimate:
    """Means of 0/1 differences, with intervals widened where all differences are equal.

    Equal differences have no spread to resample, but n problems do not exclude others: the
    interval is widened by Wilson's bound on their share.
    """
    n = len(differences)
    sure = wilson(n, n, level=inference.level).low
    first = differences[0].double()
    equal = (differences == differences[0]).all(dim=0)
    return Estimate(
        value=estimate.value,
        low=torch.where(equal, sure * first - (1 - sure), estimate.low),
        high=torch.where(equal, sure * first + (1 - sure), estimate.high),
    )


def _role(gap: Estimate, margin: float) -> str:
    """A task's role; its gap must exclude 0 and reach the margin."""
    if abs(gap.value.item()) < margin or not bool(gap.clear):
        return "none"
    return "damage" if gap.value < 0 else "skill"


def _named(
    role: str, roles: Sequence[str], gap: Estimate, revert: Estimate, graft: Estimate, share: float
) -> Bool[Tensor, " part"]:
    """Parts with clear effects of the right sign in both directions, on a task of the role."""
    tasks = torch.tensor([own == role for own in roles])
    if role == "damage":
        right = (revert.low > 0) & (graft.high < 0)
    else:
        right = (revert.high < 0) & (graft.low > 0)
    least = share * gap.value.abs()[:, None]
    large = torch.minimum(revert.value.abs(), graft.value.abs()) >= least
    return (right & large & tasks[:, None]).any(dim=0)


def _solved(tables: Sequence[ValueTable], roles: Sequence[str], n_parts: int) -> Estimate:
    """Four shares of problems that post solves with each part reverted; Wilson intervals."""
    out = torch.full((3, len(SHARES), n_parts), torch.nan, dtype=torch.float64)
    for row, (role, by_base, by_post) in enumerate(SHARES):
        solved = [
            (table.moved["revert"] > 0.5)[:, is_in]
            for table, own in zip(tables, roles, strict=True)
            if own == role
            for is_in in [
                ((table.hosts["base"] > 0.5) == by_base) & ((table.hosts["post"] > 0.5) == by_post)
            ]
        ]
        counts = torch.cat(solved, dim=1) if solved else torch.zeros(n_parts, 0)
        n = counts.shape[1]
        for part in range(n_parts if n else 0):
            share = wilson(int(counts[part].sum()), n)
            out[:, row, part] = torch.tensor(
                [share.value, share.low, share.high], dtype=torch.float64
            )
    return Estimate.of(out)
