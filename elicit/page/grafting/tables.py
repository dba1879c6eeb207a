"""Tables about moved weights: every number of every figure."""

from elicit.grafting import Attribution, Interpolation, IntervalSweep, WeightIG
from elicit.page import Cell, Table, effect_cell, table_of
from elicit.page.grafting.text import ROLES, verdict_text
from elicit.results.drawing import interval, number
from elicit.weights import WeightChange
from elicit.weights.figures import by_layer


def task_table(attribution: Attribution) -> Table:
    """Scores of both models on each task, and the gap.

    Args:
        attribution: Effects of every part.
    """
    a = attribution
    rows = [
        [
            name,
            ROLES.get(a.role[t], a.role[t]),
            a.unit[t],
            effect_cell(a.gap[t].item(), a.gap_low[t].item(), a.gap_high[t].item()),
            number(a.base_score[t].item()),
            number(a.post_score[t].item()),
            str(int(a.n_problems[t])),
        ]
        for t, name in enumerate(a.task)
    ]
    head = (
        "task",
        "post",
        "score",
        f"gap [{100 * a.level:g} % interval]",
        "base",
        "post",
        "problems",
    )
    return table_of(
        "Score of base and post on each task. Gap: post minus base, paired by problem.",
        head,
        rows,
        3,
    )


def layer_table(attribution: Attribution, change: WeightChange | None) -> Table:
    """Each layer in one row: verdict, weight change, effects on each task.

    Args:
        attribution: Effects of every part.
        change: Change of every tensor, if it was measured.
    """
    sizes: dict[int, tuple[str, str]] = {}
    if change is not None:
        found = by_layer(change)
        rows = zip(found.relative_norm.tolist(), found.activation_norm.tolist(), strict=True)
        sizes = dict(
            zip(
                found.layer.tolist(),
                [(number(r, digits=4), number(w, digits=4)) for r, w in rows],
                strict=True,
            )
        )
    head = ["layer", "verdict", *(["relative norm", "activation-weighted"] if sizes else [])]
    head += [f"{task}: {what}" for task in attribution.task for what in ("revert", "graft")]
    rows = []
    for i, kind in enumerate(attribution.kind):
        if kind != "layer":
            continue
        layer = int(attribution.layer[i])
        row: list[str | Cell] = [str(layer), verdict_text(attribution.verdict[i])]
        row += list(sizes.get(layer, ("–", "–"))) if sizes else []
        row += _effects(attribution, i)
        rows.append(row)
    caption = (
        "Every layer: verdict, size of the weight change, effects with joint intervals (bold: "
        "clear of 0)."
    )
    return table_of(caption, head, rows, 2)


def _effects(attribution: Attribution, part: int, prefix: str = "") -> list[str | Cell]:
    """Effects of moving one part, or of its controls, on every task."""
    names = [
        f"{prefix}{direction}{end}"
        for direction in ("revert", "graft")
        for end in ("", "_low", "_high")
    ]
    values = [getattr(attribution, name)[:, part].tolist() for name in names]
    columns = zip(*values, strict=True)
    return [cell for v in columns for cell in (effect_cell(*v[:3]), effect_cell(*v[3:]))]


def control_table(attribution: Attribution) -> Table | None:
    """Effects of every control; None where none was run.

    Args:
        attribution: Effects of every part.
    """
    ran = ~attribution.control_revert.isnan().all(0) | ~attribution.control_graft.isnan().all(0)
    if not ran.any():
        return None
    head = [
        "part",
        *(f"{task}: {what}" for task in attribution.task for what in ("revert", "graft")),
    ]
    rows = [
        [name, *_effects(attribution, i, "control_")]
        for i, name in enumerate(attribution.part)
        if bool(ran[i])
    ]
    caption = "Controls: the difference with its entries shuffled, same norm; each interval alone."
    return table_of(caption, head, rows, 1, "Numbers of the controls")


def part_table(attribution: Attribution) -> Table:
    """Effects of every part finer than a layer or outside the layers.

    Args:
        attribution: Effects of every part.
    """
    order = sorted(
        (i for i, kind in enumerate(attribution.kind) if kind != "layer"),
        key=lambda i: (attribution.layer[i].item() < 0, attribution.layer[i].item(), i),
    )
    a = attribution
    head = [
        "part",
        "verdict",
        *(f"{task}: {what}" for task in a.task for what in ("revert", "graft")),
    ]
    rows = []
    for i in order:
        rows.append([a.part[i], verdict_text(a.verdict[i]), *_effects(a, i)])
    caption = "Effects of finer parts; intervals hold jointly over the parts of one kind."
    return table_of(caption, head, rows, 2)


_PARTITION = ("healing", "preservation", "target retention", "non-damage")


def partition_table(attribution: Attribution) -> Table:
    """Of four groups of problems, the share that post solves with each part reverted.

    Args:
        attribution: Effects of every part.
    """
    a = attribution
    shares = (a.healing, a.preservation, a.target_retention, a.non_damage)
    rows = []
    for i, kind in enumerate(a.kind):
        if kind != "layer" and a.verdict[i] == "changed":
            continue
        if a.verdict[i] == "unchanged":
            continue
        row = [a.part[i], verdict_text(a.verdict[i])]
        for k, share in enumerate(shares):
            value = share[i].item()
            low, high = a.partition_low[k, i].item(), a.partition_high[k, i].item()
            row.append("–" if value != value else f"{value:.2f} [{low:.2f}, {high:.2f}]")
        rows.append(row)
    caption = (
        "Post with one part put back to base: share of problems solved, with Wilson intervals of "
        "each part alone. "
        "Changed layers, and finer parts that have a verdict."
    )
    return table_of(caption, ("part", "verdict", *_PARTITION), rows, 2)


def weight_table(change: WeightChange) -> Table:
    """Geometry of every tensor's change.

    Args:
        change: Change of every tensor.
    """
    columns = (
        ("relative norm", change.relative_norm, 4),
        ("activation-weighted", change.activation_norm, 4),
        ("spectral norm", change.spectral_norm, 4),
        ("stable rank", change.stable_rank, 1),
        ("entropy rank", change.entropy_rank, 1),
        ("rank of 90 %", change.rank_90, 0),
        ("unchanged entries", change.zero_share, 3),
        ("intruders", change.intruders, 0),
    )
    kept = [column for column in columns if not column[1].isnan().all()]
    values = [(v.tolist(), digits) for _, v, digits in kept]
    rows = [
        [place, name, *(number(column[m], digits=digits) for column, digits in values)]
        for m, (place, name) in enumerate(zip(change.place, change.matrix, strict=True))
    ]
    head = ("place", "tensor", *(name for name, _, _ in kept))
    return table_of("Every parameter tensor.", head, rows, 2, f"All {len(rows)} parameter tensors")


def interval_table(sweep: IntervalSweep, task: int) -> Table:
    """Effects of every interval of layers on one task.

    Args:
        sweep: Effects of every interval.
        task: Index of the task.
    """
    s, rows = sweep, []
    for f, first in enumerate(s.first.tolist()):
        for g, last in enumerate(s.last.tolist()):
            if last >= first:
                cells = [
                    effect_cell(*(values[task, f, g].item() for values in three))
                    for three in (
                        (s.revert, s.revert_low, s.revert_high),
                        (s.graft, s.graft_low, s.graft_high),
                    )
                ]
                rows.append([str(first) if first == last else f"{first}–{last}", *cells])
    name = s.task[task]
    caption = (
        f"Effect of moving every interval of layers on {name}, intervals jointly over all rows."
    )
    return table_of(caption, ("layers", "revert", "graft"), rows, 1, f"Numbers: {name}")


def interpolation_table(interpolation: Interpolation) -> Table:
    """Scores on the way from base to post.

    Args:
        interpolation: Scores along the way.
    """
    p, rows = interpolation, []
    for t, task in enumerate(p.task):
        whole = zip(p.score[t].tolist(), p.low[t].tolist(), p.high[t].tolist(), strict=True)
        rows.append([task, "whole model", *(interval(*ends).removeprefix("+") for ends in whole)])
        for i, layer in enumerate(p.layer.tolist()):
            if p.layer_score[t, i].isfinite().any():
                rows.append(
                    [task, f"layer {layer}", *(number(v) for v in p.layer_score[t, i].tolist())]
                )
    head = ("task", "moved", *(f"α = {alpha:g}" for alpha in p.alpha.tolist()))
    return table_of("Score of base moved a share α of the way to post.", head, rows, 2, "Numbers")


def integrated_table(integrated: WeightIG) -> Table:
    """Integrated gradients of every part, their sum, the gap and what is missed.

    Args:
        integrated: Attributions of every part.
    """
    w = integrated
    rows = [
        [part, *(number(value, sign=True, digits=4) for value in w.attribution[:, i].tolist())]
        for i, part in enumerate(w.part)
    ]
    rows.append(["sum", *(number(v, sign=True, digits=4) for v in w.attribution.sum(1).tolist())])
    rows.append(["gap", *(number(v, sign=True, digits=4) for v in w.gap.tolist())])
    missed = w.completeness_error.tolist()
    rows.append(["completeness error", *("–" if v != v else f"{100 * v:.2g} %" for v in missed)])
    rows.append(["nodes", *(str(n) for n in w.nodes.tolist())])
    return table_of(
        "Weight integrated gradients: the gap split among parts.",
        ("part", *w.task),
        rows,
        1,
        "Numbers",
    )
