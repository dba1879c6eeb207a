"""Weight-grafting sections of the page: figures and tables, with reading guides."""

from collections.abc import Sequence
from pathlib import Path

from elicit.grafting import Interpolation, IntervalSweep, LayerRoles, Samples, WeightIG
from elicit.grafting.figures import (
    effect_figure,
    integrated_figure,
    interpolation_figure,
    interval_figure,
    shown_tasks,
)
from elicit.page import Fragment, Key, Plot, Section, Table, first, plot
from elicit.page.grafting import keys as f
from elicit.page.grafting import tables as t
from elicit.results import Result
from elicit.weights import WeightChange
from elicit.weights.figures import change_figure


def sections(results: Sequence[Result]) -> list[Section]:
    """Weight-grafting sections for the available results, in page order."""
    roles, change = first(results, LayerRoles), first(results, WeightChange)
    sweep, interpolation = first(results, IntervalSweep), first(results, Interpolation)
    integrated = first(results, WeightIG)
    samples = [result for result in results if isinstance(result, Samples)]
    found: list[Section] = []
    if roles is not None:
        found.append(_layers(roles, change))
        if any(kind != "layer" for kind in roles.kind):
            found.append(_parts(roles))
    if sweep is not None:
        found.append(_intervals(sweep, roles))
    if interpolation is not None:
        found.append(_interpolation(interpolation, roles))
    if integrated is not None:
        found.append(_integrated(integrated))
    if roles is not None and any(role != "none" for role in roles.role):
        found.append(_repair(roles))
    if change is not None:
        found.append(_weights(change))
    if samples:
        found.append(_samples(samples))
    return found


def _keys(roles: LayerRoles, kinds: Sequence[str], tasks: Sequence[int]) -> tuple[Key, ...]:
    """Legend entries for the marks present in a figure of effects."""
    parts = [i for i, kind in enumerate(roles.kind) if kind in kinds]
    verdicts = {verdict for i in parts for verdict in roles.verdict[i]}
    keys = [*f.EFFECTS]
    if not roles.control_revert.value[:, parts].isnan().all():
        keys += f.CONTROLS
    if any(roles.role[t] != "none" for t in tasks):
        keys += f.WHOLE
    return (*keys, *(key for verdict, key in f.VERDICTS.items() if verdict in verdicts))


_READ = (
    "Effects above 0 improve the task score. A corrupted layer improves it when reverted (blue "
    "above 0) and lowers it when grafted (orange below 0); a layer that carries the skill does the "
    "opposite. "
)


def _layers(roles: LayerRoles, change: WeightChange | None) -> Section:
    tasks = shown_tasks(roles)
    hidden = [i for i in range(len(roles.task)) if i not in tasks]
    n = sum(kind == "layer" for kind in roles.kind)
    caption = (
        _READ + f"Bars are {100 * roles.level:g} % intervals simultaneous over all {n} layers; "
        "filled marks exclude 0. Grey marks are controls: the weight difference with its entries "
        "shuffled, same norm. Marks in the top row give the verdict. "
    )
    items: list[Plot | Table] = []
    keys = _keys(roles, ("layer",), tasks)
    if change is not None:
        caption += (
            "The bottom panel shows how much each layer’s weights changed; a large change need not "
            "have a large effect."
        )
        weighted = not change.activation_norm.isnan().all()
        keys = (*keys, *(f.WEIGHTS if weighted else f.WEIGHTS[:1]))
    if n:
        figure = effect_figure(roles, tasks=tasks, change=change)
        items.append(plot("plot-layers", figure, caption, columns=n, keys=keys))
    if hidden and n:
        items.append(
            plot(
                "plot-layers-none",
                effect_figure(roles, tasks=hidden),
                "Tasks without a clear gap: effects are shown, but give no verdicts.",
                columns=n,
                keys=_keys(roles, ("layer",), hidden),
                folded="Tasks without a clear gap",
            )
        )
    items.append(t.layer_table(roles, change))
    controls = t.control_table(roles)
    items += [controls] if controls is not None else []
    return Section(
        "layers",
        "Which layers matter",
        "Each layer is swapped alone, in both directions (revert and graft), and every problem is "
        "rescored.",
        tuple(items),
    )


def _parts(roles: LayerRoles) -> Section:
    kinds = tuple(kind for kind in dict.fromkeys(roles.kind) if kind != "layer")
    tasks = shown_tasks(roles)
    count = sum(kind in kinds for kind in roles.kind)
    figure = effect_figure(roles, tasks=tasks, kinds=kinds)
    caption = (
        _READ
        + "Intervals are simultaneous over the parts of one kind. Parts outside the layers are on "
        "the right."
    )
    return Section(
        "parts",
        "Submodules",
        "The same for each layer’s attention and MLP, and for the embedding, unembedding and final "
        "norm. A norm’s gain belongs to the part that reads its output.",
        (
            plot("plot-parts", figure, caption, columns=count, keys=_keys(roles, kinds, tasks)),
            t.part_table(roles),
        ),
    )


def _with_role(names: Sequence[str], roles: LayerRoles | None) -> list[int]:
    """Indices of the tasks with a role; all tasks if roles are unknown or no task has one."""
    known = dict(zip(roles.task, roles.role, strict=True)) if roles else {}
    found = [i for i, name in enumerate(names) if known.get(name, "none") != "none"]
    return found or list(range(len(names)))


def _intervals(sweep: IntervalSweep, roles: LayerRoles | None) -> Section:
    n, tasks = len(sweep.first), _with_role(sweep.task, roles)
    caption = (
        "Each cell moves all layers from its row (first) to its column (last) together; the "
        "diagonal holds single layers, the top row prefixes, the right column suffixes. Blue: the "
        "score rises, orange: it falls. A number or a dot: the simultaneous "
        "interval excludes 0."
    )
    return Section(
        "intervals",
        "Intervals of layers",
        "Layers may interact: damage spread over two layers is fully repaired only when both are "
        "reverted.",
        (
            plot("plot-intervals", interval_figure(sweep, tasks=tasks), caption, columns=2 * n),
            *(t.interval_table(sweep, task) for task in range(len(sweep.task))),
        ),
    )


def _interpolation(interpolation: Interpolation, roles: LayerRoles | None) -> Section:
    marked = ()
    if roles is not None:
        marked = tuple(sorted({*roles.corrupted_layers, *roles.skill_layers}))
    figure = interpolation_figure(
        interpolation, tasks=_with_role(interpolation.task, roles), marked=marked
    )
    caption = (
        "Weights base + α (post − base). Left: the whole model, with pointwise intervals. Right: "
        "one layer at a time (teacher-forced tasks only); layers with a verdict are highlighted "
        "and labelled, the others grey."
    )
    return Section(
        "interpolation",
        "From base to post",
        "How the score changes under linear interpolation of the weights: gradually or in a step.",
        (
            plot("plot-interpolation", figure, caption, columns=16),
            t.interpolation_table(interpolation),
        ),
    )


def _integrated(integrated: WeightIG) -> Section:
    figure = integrated_figure(integrated)
    caption = (
        "Blue bars raise the task’s score from base to post, orange bars lower it; they sum to the "
        "gap up to the completeness error given above each panel."
    )
    return Section(
        "integrated",
        "Attribution of the gap to parts",
        "Weight integrated gradients attribute each task’s gap to the layers. They need a "
        "differentiable score, so generated tasks are left out. They have no intervals: use them "
        "as a cross-check.",
        (
            plot("plot-integrated", figure, caption, columns=len(integrated.part)),
            t.integrated_table(integrated),
        ),
    )


def _repair(roles: LayerRoles) -> Section:
    return Section(
        "partition",
        "Cost of a repair",
        "Reverting a part should restore the lost ability and keep the gained one. Healing: "
        "problems that base solves and post does not. Preservation: damage-task problems that both "
        "solve. Target retention: problems that only post solves. Non-damage: skill-task problems "
        "that both solve. Each is the share that post solves with the part reverted. A dash: no "
        "such problem.",
        (t.repair_table(roles),),
    )


def _weights(change: WeightChange) -> Section:
    n = len({layer for layer in change.layer.tolist() if layer >= 0})
    items: list[Plot | Table] = []
    if n:
        caption = (
            "Stronger colour: larger change relative to the tensor’s norm in base. Weighted by "
            "activations: relative change of its output on those of base. Norms show where weights "
            "changed, not the effect on behaviour."
        )
        items.append(plot("plot-weights", change_figure(change), caption, columns=n))
    return Section(
        "weights",
        "What changed in the weights",
        "Norm and rank of every parameter tensor’s difference. Stable and entropy rank estimate "
        "its effective rank; intruders are leading singular directions of post that base lacks.",
        (*items, t.weight_table(change)),
    )


def _samples(samples: Sequence[Samples]) -> Section:
    return Section(
        "samples",
        "Samples",
        "Greedy outputs of both models on the same problems, verbatim; invisible characters are "
        "shown as escapes.",
        (Fragment(Path(__file__).parent / "samples.html", {"samples": samples}),),
    )
