"""From values to verdicts: roles of tasks, intervals of effects, and what may be said of a part."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.grafting.attribution import Attribution
from elicit.grafting.measure import Measure
from elicit.grafting.values import DIRECTIONS, ValueTable
from elicit.pair import ModelPair
from elicit.stats import Inference, Interval, bootstrap_mean, simultaneous_intervals, wilson
from elicit.weights import Part

LEAST_PROBLEMS = 5
"""Problems below which a task gets no role: so few cannot carry a verdict."""


def conclude(
    pair: ModelPair,
    measures: Sequence[Measure],
    parts: Sequence[Part],
    changed: Sequence[bool],
    tables: Sequence[ValueTable],
    *,
    inference: Inference = Inference(),
    margin: float,
    share_margin: float,
) -> Attribution:
    """Roles, intervals and verdicts from the values of every problem.

    Args:
        pair: The two models.
        measures: Tasks and how they were scored.
        parts: What was moved.
        changed: Whether any weight of each part differs.
        tables: Values, one table a task.
        inference: Coverage and resamples of the intervals, and the seed.
        margin: Smallest gap that gives a role, in the task's unit.
        share_margin: Smallest effect that names a part, as a share of the gap.
    """
    gaps = [
        bootstrap_mean(
            (t.hosts["post"] - t.hosts["base"]).numpy(),
            level=inference.level,
            n_resamples=inference.n_resamples,
            seed=inference.seed,
        )
        for t in tables
    ]
    gaps = [
        _widened_gap(gap, measure, t, inference, identical=pair.identical)
        for gap, measure, t in zip(gaps, measures, tables, strict=True)
    ]
    roles = [
        _role(gap.value, gap.low, gap.high, margin) if gap.n >= LEAST_PROBLEMS else "none"
        for gap in gaps
    ]
    n_tasks, n_parts = len(tables), len(parts)
    fields = {
        f"{control}{direction}{end}": torch.full(
            (n_tasks, n_parts), float("nan"), dtype=torch.float64
        )
        for control in ("", "control_")
        for direction in DIRECTIONS
        for end in ("", "_low", "_high")
    }
    for t, table in enumerate(tables):
        for direction in DIRECTIONS:
            host = table.hosts["post" if direction == "revert" else "base"]
            for kind in dict.fromkeys(part.kind for part in parts):
                own = [i for i, part in enumerate(parts) if part.kind == kind]
                effects = (table.moved[direction][own] - host).T.numpy()
                joint = simultaneous_intervals(
                    effects,
                    level=inference.level,
                    n_resamples=inference.n_resamples,
                    seed=inference.seed,
                )
                low, high = joint.low.copy(), joint.high.copy()
                for column, i in enumerate(own):
                    if changed[i] and measures[t].metric == "correct":
                        low[column], high[column] = _widened(
                            effects[:, column], low[column], high[column], inference
                        )
                for end, values in (("", joint.value), ("_low", low), ("_high", high)):
                    fields[f"{direction}{end}"][t, own] = torch.from_numpy(
                        np.asarray(values, dtype=np.float64)
                    )
            ran = [i for i in range(n_parts) if not table.control[direction][i].isnan().any()]
            if ran:
                effects = (table.control[direction][ran] - host).T.numpy()
                alone = simultaneous_intervals(
                    effects,
                    level=inference.level,
                    n_resamples=inference.n_resamples,
                    seed=inference.seed,
                )
                ends = (("", alone.value), ("_low", alone.single_low), ("_high", alone.single_high))
                for end, values in ends:
                    fields[f"control_{direction}{end}"][t, ran] = torch.from_numpy(
                        np.asarray(values, dtype=np.float64)
                    )
    verdicts = [
        _verdict(i, changed[i], roles, [g.value for g in gaps], fields, share_margin)
        for i in range(n_parts)
    ]
    shares, low, high = _partition(tables, roles, n_parts)
    return Attribution(
        provenance=pair.provenance(
            inference.seed,
            {
                "measures": [measure.to_json() for measure in measures],
                "level": inference.level,
                "margin": margin,
                "share_margin": share_margin,
                "n_resamples": inference.n_resamples,
            },
            task_digests={measure.task.name: measure.task.digest for measure in measures},
        ),
        task=tuple(measure.task.name for measure in measures),
        role=tuple(roles),
        unit=tuple(measure.unit for measure in measures),
        n_problems=torch.tensor([len(measure.task) for measure in measures]),
        base_score=torch.tensor(
            [t.hosts["base"].mean().item() for t in tables], dtype=torch.float64
        ),
        post_score=torch.tensor(
            [t.hosts["post"].mean().item() for t in tables], dtype=torch.float64
        ),
        gap=torch.tensor([g.value for g in gaps], dtype=torch.float64),
        gap_low=torch.tensor([g.low for g in gaps], dtype=torch.float64),
        gap_high=torch.tensor([g.high for g in gaps], dtype=torch.float64),
        part=tuple(part.name for part in parts),
        kind=tuple(part.kind for part in parts),
        layer=torch.tensor([part.layers[0] if part.layers else -1 for part in parts]),
        changed=torch.tensor(changed),
        healing=shares[0],
        preservation=shares[1],
        target_retention=shares[2],
        non_damage=shares[3],
        partition_low=low,
        partition_high=high,
        verdict=tuple(verdicts),
        level=inference.level,
        margin=margin,
        share_margin=share_margin,
        **fields,  # pyright: ignore[reportArgumentType]
    )


def _widened(
    effects: Float[np.ndarray, " problem"], low: float, high: float, inference: Inference
) -> tuple[float, float]:
    """Ends of an interval of right-or-wrong differences, also where all of them are the same.

    Equal differences have no spread to resample, and yet n problems do not rule out others: with
    Wilson's bound on how many there may be, the mean could be as far off as those reach.
    """
    first = float(effects[0])
    if bool((effects != first).any()):
        return low, high
    sure = wilson(len(effects), len(effects), level=inference.level).low
    return sure * first - (1 - sure), sure * first + (1 - sure)


def _widened_gap(
    gap: Interval, measure: Measure, table: ValueTable, inference: Inference, *, identical: bool
) -> Interval:
    """A gap whose interval does not shrink to a point because all problems went the same way."""
    if identical or measure.metric != "correct":
        return gap
    differences = (table.hosts["post"] - table.hosts["base"]).numpy()
    low, high = _widened(differences, gap.low, gap.high, inference)
    return replace(gap, low=low, high=high)


def _role(gap: float, low: float, high: float, margin: float) -> str:
    """A task's role: its gap must be clear of 0 and large enough to matter."""
    if abs(gap) < margin or low <= 0 <= high:
        return "none"
    return "damage" if gap < 0 else "skill"


def _verdict(
    i: int,
    changed: bool,
    roles: Sequence[str],
    gaps: Sequence[float],
    fields: dict[str, Tensor],
    share_margin: float,
) -> str:
    """A part's verdict: both directions, clear of 0 and large enough, on a task with a role."""
    if not changed:
        return "unchanged"
    found = []
    for role, sign, word in (("damage", 1.0, "corrupted"), ("skill", -1.0, "skill")):
        for t, own in enumerate(roles):
            if own != role:
                continue
            back, forth = sign * fields["revert"][t, i].item(), -sign * fields["graft"][t, i].item()
            clear = (
                fields["revert_low" if sign > 0 else "revert_high"][t, i].item() * sign > 0
                and fields["graft_high" if sign > 0 else "graft_low"][t, i].item() * sign < 0
            )
            if clear and min(back, forth) >= share_margin * abs(gaps[t]):
                found.append(word)
    return "+".join(dict.fromkeys(found)) if found else "changed"


def _partition(
    tables: Sequence[ValueTable], roles: Sequence[str], n_parts: int
) -> tuple[
    Float[Tensor, "partition part"],
    Float[Tensor, "partition part"],
    Float[Tensor, "partition part"],
]:
    """The four shares of problems for post with each part reverted, with Wilson intervals."""
    out = torch.full((3, 4, n_parts), float("nan"), dtype=torch.float64)
    for row, (role, was, now) in enumerate(
        (
            ("damage", True, False),
            ("damage", True, True),
            ("skill", False, True),
            ("skill", True, True),
        )
    ):
        picked = [
            ((t.hosts["base"] > 0.5) == was) & ((t.hosts["post"] > 0.5) == now)
            for t, own in zip(tables, roles, strict=True)
            if own == role
        ]
        solved = [
            t.moved["revert"] > 0.5 for t, own in zip(tables, roles, strict=True) if own == role
        ]
        n = int(sum(int(p.sum()) for p in picked))
        if not n:
            continue
        for part in range(n_parts):
            k = int(sum(int((s[part] & p).sum()) for s, p in zip(solved, picked, strict=True)))
            share = wilson(k, n)
            out[:, row, part] = torch.tensor(
                [share.value, share.low, share.high], dtype=torch.float64
            )
    return out[0], out[1], out[2]
