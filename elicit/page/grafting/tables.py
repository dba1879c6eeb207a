"""Tables of the weight-grafting sections: every number of every figure."""

from collections.abc import Sequence

from elicit.grafting import Interpolation, IntervalSweep, LayerRoles, Verdict, WeightIG
from elicit.page import Cell, Column, Table, estimate_cell, result_table, table_of
from elicit.page.grafting.text import ROLES
from elicit.results import number
from elicit.weights import WeightChange, by_layer


def task_table(roles: LayerRoles) -> Table:
    """Scores of both models on each task, and the gap."""
    return result_table(
        roles,
        "Score of base and post on each task. Gap: post minus base, paired by problem.",
        [
            Column(head="task", of="task"),
            Column(head="post", of=lambda t: ROLES[roles.role[t]]),
            Column(head="score", of="unit"),
            Column(head=f"gap [{100 * roles.level:g} % interval]", of="gap", effect=True),
            Column(head="base", of="base_score"),
            Column(head="post", of="post_score"),
            Column(head="problems", of="n_problems"),
        ],
        over="task",
        words=3,
    )


def layer_table(roles: LayerRoles, change: WeightChange | None) -> Table:
    """One row per layer: verdict, weight change, effects on each task."""
    sizes = []
    if change is not None and len((layers := by_layer(change)).layer):
        row = {layer: i for i, layer in enumerate(layers.layer.tolist())}
        for head, norm in (
            ("relative norm", layers.relative_norm),
            ("activation-weighted", layers.activation_norm),
        ):

            def size(i: int, norm=norm) -> str:
                at = row.get(int(roles.layer[i]))
                return "–" if at is None else number(norm[at].item(), digits=4)

            sizes.append(Column(head=head, of=size))
    layers, folded = _changed_rows(
        roles, [i for i, kind in enumerate(roles.kind) if kind == "layer"]
    )
    return result_table(
        roles,
        f"{'Layers' if folded else 'Every layer'}: verdict, size of the weight change, effects "
        f"with simultaneous intervals (bold: excludes 0).{folded}",
        [Column(head="layer", of="layer"), _verdict(roles), *sizes, *_effects(roles)],
        over="part",
        rows=layers,
        words=2,
    )


FEW = 8
"""Unchanged parts that a table still shows one by one."""


def _changed_rows(roles: LayerRoles, rows: Sequence[int]) -> tuple[list[int], str]:
    """Rows of parts that changed, and a sentence about the others; all rows if those are few."""
    changed = [i for i in rows if bool(roles.changed[i])]
    n = len(rows) - len(changed)
    if n <= FEW or not changed:
        return [*rows], ""
    return changed, f" {n} parts have the same weights in both models: every effect is 0."


def _verdict(roles: LayerRoles) -> Column:
    return Column(head="verdict", of=lambda i: verdict_text(roles.verdict[i], roles.reason[i]))


def verdict_text(verdicts: Sequence[Verdict], reason: str = "") -> str:
    """Verdicts of a part: marks and labels, and why there is none."""
    words = " and ".join(verdict.word for verdict in verdicts) + (f", {reason}" if reason else "")
    return f"{''.join(verdict.mark for verdict in verdicts)}\N{NO-BREAK SPACE}{words}"


def _effects(roles: LayerRoles, prefix: str = "") -> list[Column]:
    """Columns of the effects of moving a part, or of its controls, on every task."""
    return [
        Column(head=f"{task}: {way}", of=f"{prefix}{way}", at={"task": t}, effect=True)
        for t, task in enumerate(roles.task)
        for way in ("revert", "graft")
    ]


def control_table(roles: LayerRoles) -> Table | None:
    """Effects of every control; None if none was run."""
    missing = roles.control_revert.value.isnan() & roles.control_graft.value.isnan()
    rows = [i for i, none in enumerate(missing.all(0).tolist()) if not none]
    if not rows:
        return None
    return result_table(
        roles,
        "Controls: the difference with its entries shuffled, same norm; pointwise intervals.",
        [Column(head="part", of="part"), *_effects(roles, "control_")],
        over="part",
        rows=rows,
        folded="Numbers of the controls",
    )


def part_table(roles: LayerRoles) -> Table:
    """Effects of every part finer than a layer or outside the layers."""
    layer = roles.layer.tolist()
    finer, folded = _changed_rows(
        roles, [i for i, kind in enumerate(roles.kind) if kind != "layer"]
    )
    return result_table(
        roles,
        f"Effects of submodules; intervals are simultaneous over the parts of one kind.{folded}",
        [Column(head="part", of="part"), _verdict(roles), *_effects(roles)],
        over="part",
        rows=sorted(finer, key=lambda i: (layer[i] < 0, layer[i], i)),
        words=2,
    )


def repair_table(roles: LayerRoles) -> Table:
    """Share of four groups of problems that post solves with each part reverted."""
    named = (roles.corrupted | roles.carries_skill).tolist()
    shares = [
        Column(head=name, of="solved", at={"share": k}, digits=2)
        for k, name in enumerate(roles.share)
    ]
    return result_table(
        roles,
        "Post with one part reverted to base: share of problems solved, with pointwise Wilson "
        "intervals. Rows: changed layers, and submodules with a verdict.",
        [Column(head="part", of="part"), _verdict(roles), *shares],
        over="part",
        rows=[
            i
            for i, kind in enumerate(roles.kind)
            if bool(roles.changed[i]) and (kind == "layer" or named[i])
        ],
        words=2,
    )


def weight_table(change: WeightChange) -> Table:
    """Geometry of every tensor's change."""
    columns = (
        ("relative norm", "relative_norm", 4),
        ("activation-weighted", "activation_norm", 4),
        ("spectral norm", "spectral_norm", 4),
        ("stable rank", "stable_rank", 1),
        ("entropy rank", "entropy_rank", 1),
        ("rank of 90 %", "rank_90", 0),
        ("unchanged entries", "zero_share", 3),
        ("intruders", "intruders", 0),
    )
    return result_table(
        change,
        "Every parameter tensor.",
        [
            Column(head="place", of="place"),
            Column(head="tensor", of="matrix"),
            *(
                Column(head=head, of=field, digits=digits)
                for head, field, digits in columns
                if not getattr(change, field).isnan().all()
            ),
        ],
        over="matrix",
        words=2,
        folded=f"All {len(change.matrix)} parameter tensors",
    )


def interval_table(sweep: IntervalSweep, task: int) -> Table:
    """Effects of every interval of layers on one task."""
    firsts, lasts = sweep.first.tolist(), sweep.last.tolist()
    rows = [
        [
            str(first) if first == last else f"{first}–{last}",
            *(estimate_cell(way[task, f, g], effect=True) for way in (sweep.revert, sweep.graft)),
        ]
        for f, first in enumerate(firsts)
        for g, last in enumerate(lasts)
        if last >= first
    ]
    name = sweep.task[task]
    caption = f"Effect of each interval of layers on {name}; intervals are simultaneous over rows."
    return table_of(caption, ("layers", "revert", "graft"), rows, 1, f"Numbers: {name}")


def interpolation_table(interpolation: Interpolation) -> Table:
    """Scores of the interpolation from base to post."""
    p = interpolation
    points, rows = range(len(p.alpha)), []
    for t, task in enumerate(p.task):
        rows.append([task, "whole model", *(estimate_cell(p.score[t, a]) for a in points)])
        for i, layer in enumerate(p.layer.tolist()):
            if p.layer_score[t, i].isfinite().any():
                scores: list[str | Cell] = [number(v) for v in p.layer_score[t, i].tolist()]
                rows.append([task, f"layer {layer}", *scores])
    head = ("task", "moved", *(f"α = {alpha:g}" for alpha in p.alpha.tolist()))
    return table_of("Score at weights base + α (post − base).", head, rows, 2, "Numbers")


def integrated_table(integrated: WeightIG) -> Table:
    """Integrated gradients of every part, their sum, the gap and the completeness error."""
    w = integrated

    def line(name: str, values: list[float]) -> list[str]:
        return [name, *(number(value, sign=True, digits=4) for value in values)]

    rows = [line(part, w.attribution[:, i].tolist()) for i, part in enumerate(w.part)]
    rows += [line("sum", w.attribution.sum(1).tolist()), line("gap", w.gap.tolist())]
    missed = w.completeness_error.tolist()
    rows.append(["completeness error", *("–" if v != v else f"{100 * v:.2g} %" for v in missed)])
    rows.append(["nodes", *(str(n) for n in w.nodes.tolist())])
    return table_of(
        "Weight integrated gradients: attribution of the gap to parts.",
        ("part", *w.task),
        rows,
        1,
        "Numbers",
    )
