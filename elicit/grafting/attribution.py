"""Which layers carry a skill, which are corrupted, and which merely changed."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.grafting.measure import GraftError, Measure
from elicit.grafting.sweep import Bench, Direction
from elicit.pair import ModelPair
from elicit.results import NoProgress, Progress, Result
from elicit.stats import Interval, bootstrap_mean, simultaneous_intervals, wilson
from elicit.weights.parts import Part, Slot, is_changed, parts_of, slots_of
from elicit.weights.swap import moved

DIRECTIONS: tuple[Direction, ...] = ("revert", "graft")
KINDS = ("layer", "attn", "mlp", "outside")


@runtime_checkable
class Cells(Protocol):
    """Remembers finished pieces of work; a run directory is one."""

    def cell(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The values of a key, computed once."""
        ...


class NoCells:
    """Remembers nothing."""

    def cell(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Compute, every time."""
        return compute()


@dataclass(frozen=True, eq=False, kw_only=True)
class Attribution(Result):
    """Effect of moving each part between base and post, on tasks that post-training changed."""

    task: tuple[str, ...]
    """Name of each task."""
    role: tuple[str, ...]
    """Of each task: `damage` where post lost, `skill` where post gained, `none` where neither
    shows."""
    unit: tuple[str, ...]
    """Unit of each task's values."""
    n_problems: Int[Tensor, " task"]
    """Problems in each task, the unit of every interval."""
    base_score: Float[Tensor, " task"]
    """Mean value of base."""
    post_score: Float[Tensor, " task"]
    """Mean value of post."""
    gap: Float[Tensor, " task"]
    """Post minus base, paired by problem."""
    gap_low: Float[Tensor, " task"]
    """Lower end of the gap's interval."""
    gap_high: Float[Tensor, " task"]
    """Upper end of the gap's interval."""
    part: tuple[str, ...]
    """Name of each part: `L3`, `L3.attn`, `embed`."""
    kind: tuple[str, ...]
    """Kind of each part; intervals hold jointly over the parts of one kind."""
    layer: Int[Tensor, " part"]
    """Layer of each part, -1 outside the layers."""
    changed: Bool[Tensor, " part"]
    """Whether any weight of the part differs."""
    revert: Float[Tensor, "task part"]
    """Post with the part from base, minus post. Above 0: reverting heals."""
    revert_low: Float[Tensor, "task part"]
    """Lower end, jointly over parts of the kind."""
    revert_high: Float[Tensor, "task part"]
    """Upper end, jointly over parts of the kind."""
    graft: Float[Tensor, "task part"]
    """Base with the part from post, minus base. Below 0: grafting harms."""
    graft_low: Float[Tensor, "task part"]
    """Lower end, jointly over parts of the kind."""
    graft_high: Float[Tensor, "task part"]
    """Upper end, jointly over parts of the kind."""
    control_revert: Float[Tensor, "task part"]
    """Post moved from this part by base's difference with its entries shuffled (same norm), minus
    post. NaN: not run."""
    control_revert_low: Float[Tensor, "task part"]
    """Lower end for this part alone."""
    control_revert_high: Float[Tensor, "task part"]
    """Upper end for this part alone."""
    control_graft: Float[Tensor, "task part"]
    """Base moved by post's difference with its entries shuffled, minus base. NaN: not run."""
    control_graft_low: Float[Tensor, "task part"]
    """Lower end for this part alone."""
    control_graft_high: Float[Tensor, "task part"]
    """Upper end for this part alone."""
    healing: Float[Tensor, " part"]
    """Of the damage problems that base solves and post does not: share solved by post with the
    part reverted."""
    preservation: Float[Tensor, " part"]
    """Of the damage problems that both solve: share still solved."""
    target_retention: Float[Tensor, " part"]
    """Of the skill problems that post solves and base does not: share still solved."""
    non_damage: Float[Tensor, " part"]
    """Of the skill problems that both solve: share still solved."""
    partition_low: Float[Tensor, "partition part"]
    """Lower ends (Wilson) of the four shares above, in that order."""
    partition_high: Float[Tensor, "partition part"]
    """Upper ends (Wilson) of the four shares above."""
    partition: tuple[str, ...] = ("healing", "preservation", "target_retention", "non_damage")
    """Names of the four shares of problems, those of DG-Hard (arXiv:2605.20296) as we count
    them."""
    verdict: tuple[str, ...]
    """Of each part: `corrupted`, `skill`, `corrupted+skill`, `changed` (not distinguishable) or
    `unchanged`."""
    level: float
    """Nominal joint coverage of the intervals."""
    margin: float
    """Smallest gap that gives a task a role, in the task's unit."""
    share_margin: float
    """Smallest effect that names a part, as a share of the task's gap."""

    def layers(self, verdict: str) -> tuple[int, ...]:
        """Layers whose verdict holds a word: `corrupted` or `skill`.

        Args:
            verdict: The word.
        """
        return tuple(
            int(layer)
            for layer, kind, said in zip(self.layer.tolist(), self.kind, self.verdict, strict=True)
            if kind == "layer" and verdict in said.split("+")
        )

    @property
    def changed_layers(self) -> tuple[int, ...]:
        """Layers in which any weight differs."""
        return tuple(
            int(layer)
            for layer, kind, changed in zip(
                self.layer.tolist(), self.kind, self.changed.tolist(), strict=True
            )
            if kind == "layer" and changed
        )

    @property
    def corrupted_layers(self) -> tuple[int, ...]:
        """Layers where reverting heals and grafting harms."""
        return self.layers("corrupted")

    @property
    def skill_layers(self) -> tuple[int, ...]:
        """Layers where reverting costs the skill and grafting gives it."""
        return self.layers("skill")

    def figure(self) -> Any:
        """Effects of every layer with their intervals and controls (plotly)."""
        from elicit.grafting.figures import effect_figure

        return effect_figure(self)


def revert(
    pair: ModelPair,
    *,
    damage: Measure | None = None,
    skill: Measure | None = None,
    kinds: Sequence[str] = KINDS,
    control_draws: int = 2,
    margin: float = 0.05,
    share_margin: float = 0.05,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
    max_tokens: int = 8192,
    cells: Cells | None = None,
    progress: Progress | None = None,
) -> Attribution:
    """Move every part both ways and say which layers changed, are corrupted, or carry the skill.

    A part is corrupted if, on a task where post lost, reverting it heals and grafting it harms,
    both joint intervals clear of 0 and both effects at least `share_margin` of the gap; it carries
    the skill if the mirror holds on a task where post gained. Which task plays which part is
    measured: the arguments only say where one looks.

    Args:
        pair: The two models.
        damage: Where post may have lost (knowledge).
        skill: Where post may have gained (problems).
        kinds: Sizes of part to move, of `layer`, `attn`, `mlp`, `norms`, `matrix`, `outside`.
        control_draws: Shuffled differences of the same norm averaged per layer and direction;
        generated tasks
            use one at most, because each is a whole generation; 0 runs none.
        margin: Smallest gap that counts, in the task's unit.
        share_margin: Smallest effect that names a part, as a share of the gap.
        level: Joint coverage of the intervals over the parts of a kind.
        n_resamples: Bootstrap resamples of problems.
        seed: Of resampling and of the controls.
        max_tokens: Tokens a forward, padding included.
        cells: Where finished pieces are kept.
        progress: Told of every part moved.

    Raises:
        GraftError: No task, or two of one name.
    """
    measures = [measure for measure in (damage, skill) if measure is not None]
    if not measures:
        raise GraftError(
            "no task was given, so nothing could be lost or gained. Pass damage=, skill=, or both."
        )
    if len({measure.task.name for measure in measures}) < len(measures):
        raise GraftError(
            f"both tasks are called {measures[0].task.name!r}, so their results could not be told "
            f"apart. Rename one."
        )
    cells, progress = cells or NoCells(), progress or NoProgress()
    parts = [part for kind in dict.fromkeys(kinds) for part in parts_of(pair, kind)]
    n_layers_parts = sum(part.kind == "layer" for part in parts)
    progress.start(
        len(measures) * 2 * (1 + len(parts) + control_draws * n_layers_parts), "scoring both models"
    )
    tables = [
        _table(pair, measure, parts, control_draws, seed, max_tokens, cells, progress)
        for measure in measures
    ]
    progress.stop()
    slots = slots_of(pair)
    return _conclude(
        pair,
        measures,
        parts,
        [is_changed(slots, part) for part in parts],
        tables,
        level=level,
        n_resamples=n_resamples,
        seed=seed,
        margin=margin,
        share_margin=share_margin,
    )


@dataclass(frozen=True, eq=False)
class _Table:
    """Values of one task under every move."""

    hosts: dict[str, Tensor]
    """`base` and `post`, `[problem]`."""
    moved: dict[str, Float[Tensor, "part problem"]]
    """By direction."""
    control: dict[str, Float[Tensor, "part problem"]]
    """By direction; NaN where no control was run."""


def _table(
    pair: ModelPair,
    measure: Measure,
    parts: Sequence[Part],
    draws: int,
    seed: int,
    max_tokens: int,
    cells: Cells,
    progress: Progress,
) -> _Table:
    bench = Bench(pair=pair, measure=measure, max_tokens=max_tokens, progress=progress)
    name = measure.task.name
    hosts: dict[str, Tensor] = {}
    for host, model in (("post", pair.post), ("base", pair.base)):
        progress.advance(0, f"{name}: scoring {host}")
        hosts[host] = cells.cell(
            f"{name}/{host}", lambda model=model: {"values": bench.score(model)}
        )["values"]
        progress.advance(1)
    moved_values, control = {}, {}
    for direction in DIRECTIONS:
        host = hosts["post" if direction == "revert" else "base"]
        moved_values[direction] = _rows(bench, parts, direction, host, cells, name, None)
        shape = (len(parts), len(host))
        control[direction] = torch.full(shape, float("nan"), dtype=torch.float64)
        layers = [i for i, part in enumerate(parts) if part.kind == "layer"]
        # A generated control is a whole generation, so one draw must do there.
        draws = draws if bench.rows is not None else min(draws, 1)
        if draws:
            total = torch.zeros(len(layers), len(host), dtype=torch.float64)
            for draw in range(draws):
                total += _rows(
                    bench,
                    [parts[i] for i in layers],
                    direction,
                    host,
                    cells,
                    name,
                    seed * 1000 + draw,
                )
            control[direction][layers] = total / draws
    return _Table(hosts, moved_values, control)


def _rows(
    bench: Bench,
    parts: Sequence[Part],
    direction: Direction,
    host: Tensor,
    cells: Cells,
    name: str,
    shuffle: int | None,
) -> Float[Tensor, "part problem"]:
    """Values under each move: one cell for a resumed sweep, else one a part."""
    what = f"{name}: {direction}" + ("" if shuffle is None else f" control {shuffle % 1000 + 1}")
    key = f"{name}/{direction}" + ("" if shuffle is None else f"/shuffled-{shuffle}")

    def sweep(some: Sequence[Part]) -> dict[str, Tensor]:
        if shuffle is None:
            return {"values": bench.sweep(some, direction, host)}
        move = _shuffled_move(bench.pair, direction, shuffle)
        return {"values": bench.sweep_moves(some, direction, host, move)}

    if bench.rows is not None:
        bench.progress.advance(0, what)
        return cells.cell(f"{key}/{'+'.join(part.name for part in parts)}", lambda: sweep(parts))[
            "values"
        ]
    rows = []
    for part in parts:
        bench.progress.advance(0, f"{what} {part.name}")
        rows.append(cells.cell(f"{key}/{part.name}", lambda part=part: sweep([part]))["values"])
    return torch.cat(rows)


def _shuffled_move(
    pair: ModelPair, direction: Direction, seed: int
) -> Callable[[Part], AbstractContextManager[nn.Module]]:
    """Writes the host's own weights plus the difference with its entries shuffled."""

    def move(part: Part) -> AbstractContextManager[nn.Module]:
        generator = torch.Generator().manual_seed(seed * 1009 + max(part.layers, default=-1) + 1)

        def new(slot: Slot) -> Tensor:
            own, other = (slot.post, slot.base) if direction == "revert" else (slot.base, slot.post)
            delta = (other.data - own.data).flatten()
            order = torch.randperm(delta.numel(), generator=generator).to(delta.device)
            return own.data + delta[order].view_as(own.data)

        return moved(pair, part, new, host="post" if direction == "revert" else "base")

    return move


def _conclude(
    pair: ModelPair,
    measures: Sequence[Measure],
    parts: Sequence[Part],
    changed: Sequence[bool],
    tables: Sequence[_Table],
    *,
    level: float,
    n_resamples: int,
    seed: int,
    margin: float,
    share_margin: float,
) -> Attribution:
    gaps = [
        bootstrap_mean(
            (t.hosts["post"] - t.hosts["base"]).numpy(),
            level=level,
            n_resamples=n_resamples,
            seed=seed,
        )
        for t in tables
    ]
    gaps = [
        _widened_gap(gap, measure, t, level, identical=pair.identical)
        for gap, measure, t in zip(gaps, measures, tables, strict=True)
    ]
    roles = [_role(gap.value, gap.low, gap.high, margin) for gap in gaps]
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
                    effects, level=level, n_resamples=n_resamples, seed=seed
                )
                low, high = joint.low.copy(), joint.high.copy()
                for column, i in enumerate(own):
                    if changed[i] and measures[t].metric == "correct":
                        low[column], high[column] = _widened(
                            effects[:, column], low[column], high[column], level
                        )
                for end, values in (("", joint.value), ("_low", low), ("_high", high)):
                    fields[f"{direction}{end}"][t, own] = torch.from_numpy(
                        np.asarray(values, dtype=np.float64)
                    )
            ran = [i for i in range(n_parts) if not table.control[direction][i].isnan().any()]
            if ran:
                effects = (table.control[direction][ran] - host).T.numpy()
                alone = simultaneous_intervals(
                    effects, level=level, n_resamples=n_resamples, seed=seed
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
            seed,
            {
                "measures": [measure.to_json() for measure in measures],
                "level": level,
                "margin": margin,
                "share_margin": share_margin,
                "n_resamples": n_resamples,
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
        level=level,
        margin=margin,
        share_margin=share_margin,
        **fields,  # pyright: ignore[reportArgumentType]
    )


def _widened(
    effects: Float[np.ndarray, " problem"], low: float, high: float, level: float
) -> tuple[float, float]:
    """Ends of an interval of right-or-wrong differences, also where all of them are the same.

    Equal differences have no spread to resample, and yet n problems do not rule out others: with
    Wilson's bound on how many there may be, the mean could be as far off as those reach.
    """
    first = float(effects[0])
    if bool((effects != first).any()):
        return low, high
    sure = wilson(len(effects), len(effects), level=level).low
    return sure * first - (1 - sure), sure * first + (1 - sure)


def _widened_gap(
    gap: Interval, measure: Measure, table: _Table, level: float, *, identical: bool
) -> Interval:
    """A gap whose interval does not shrink to a point because all problems went the same way."""
    if identical or measure.metric != "correct":
        return gap
    differences = (table.hosts["post"] - table.hosts["base"]).numpy()
    low, high = _widened(differences, gap.low, gap.high, level)
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
    tables: Sequence[_Table], roles: Sequence[str], n_parts: int
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
