"""Which layers post-training changed, and which it corrupted: from weights moved between models."""

from dataclasses import dataclass, replace

import torch

from elicit.grafting import LayerRoles
from elicit.patching import PatchGrid
from elicit.results import Estimate, number
from elicit.revision import Settling
from elicit.verdicts.audit._answer import (
    Answered,
    Strength,
    beats,
    likely_seen,
    listed,
    negative,
    spread,
)
from elicit.verdicts.audit._where import ONE_WAY, enters, settles


def layers_answer(
    roles: LayerRoles, *, grid: PatchGrid | None = None, settled: Settling | None = None
) -> Answered:
    """The answer from the roles of layers, with where a decision enters and predictions settle.

    Args:
        roles: What moving every layer did.
        grid: Post's activations in base; None where they were not patched.
        settled: Where both models' predictions settle; None where that was not asked.
    """
    answer = _of_roles(roles)
    more = [text for text in (enters(grid), settles(settled)) if text]
    return replace(answer, says=" ".join([answer.says, *more])) if answer.clause else answer


def _of_roles(roles: LayerRoles) -> Answered:
    if not bool(roles.changed.any()) and not roles.gap.value.any():
        return Answered(
            verdict="unchanged",
            says="No weight of any compared part differs, so there is nothing to locate.",
            clause="",
            strength="none",
            rests_on="Every effect is exactly 0, which needs no interval.",
            effect=Estimate.missing(),
            control=Estimate.missing(),
        )
    if all(role == "none" for role in roles.role):
        return _no_gap(roles)
    named = _named(roles)
    return _found(roles, named) if named else _spread_out(roles)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Move:
    """One direction of moving a layer that a verdict rests on, above 0 where it holds."""

    layer: int
    says: str
    what: str
    effect: Estimate
    control: Estimate
    unit: str


def _named(roles: LayerRoles) -> list[_Move]:
    """Both directions of every layer with a verdict."""
    moves = []
    for role, layers in (("damage", roles.corrupted_layers), ("skill", roles.skill_layers)):
        task = _task(roles, role)
        if task is not None:
            for layer in layers:
                moves += _moves(roles, task, layer)
    return moves


def _moves(roles: LayerRoles, task: int, layer: int) -> list[_Move]:
    part = _part(roles, layer)
    damage = roles.role[task] == "damage"
    name, unit = roles.task[task], roles.unit[task]
    ways = (
        ("reverting", "heals" if damage else "takes", roles.revert, roles.control_revert, damage),
        ("grafting", "costs" if damage else "gives", roles.graft, roles.control_graft, not damage),
    )
    return [
        _Move(
            layer=layer,
            says=f"{way} it {verb}",
            what=f"{name}: {way} layer {layer} {verb}",
            effect=_signed(effect[task, part], up),
            control=_signed(control[task, part], up),
            unit=unit,
        )
        for way, verb, effect, control, up in ways
    ]


def _found(roles: LayerRoles, moves: list[_Move]) -> Answered:
    """Layers have a verdict."""
    corrupted, skilled = roles.corrupted_layers, roles.skill_layers
    says, clauses, verdicts = [], [], []
    for role, layers, verb, past in (
        ("damage", corrupted, "corrupted", "lost"),
        ("skill", skilled, "carry", "gained"),
    ):
        task = _task(roles, role)
        if not layers or task is None:
            continue
        own = [move for layer in layers for move in _moves(roles, task, layer)]
        top = max(own[:: 2 if role == "damage" else 1], key=lambda m: m.effect.value.item())
        other = next(m for m in own if m.layer == top.layer and m is not top)
        many = len(layers) > 1
        name, gap = roles.task[task], spread(_absolute(roles.gap[task]))
        if role == "damage":
            says.append(
                f"Post-training corrupted {listed(layers)}: post lost {gap} on {name}, "
                f"{_moving(top)}, {_moving(other)}."
            )
            clauses.append(f"post-training corrupted {listed(layers)}")
            verdicts.append(f"{listed(layers)} corrupted")
        else:
            says.append(
                f"{_capital(listed(layers))} {verb if many else 'carries'} what post {past} on "
                f"{name} ({gap}): {_moving(top)}, {_moving(other)}."
            )
            clauses.append(f"{listed(layers)} {verb if many else 'carries'} what post gained")
            verdicts.append(f"{listed(layers)} {verb if many else 'carries'} the gain")
    if not corrupted:
        says.append("No layer is corrupted.")
    says.append(_changed(roles))
    strongest = max(moves, key=lambda move: move.effect.value.item())
    above = [beats(move.effect, move.control) for move in moves]
    unknown = any(bool(move.control.value.isnan()) for move in moves)
    strength: Strength = "strong" if all(above) else "moderate" if any(above) else "weak"
    rests = (
        f"{sum(above)} of {len(above)} effects of the named layers (each reverted and grafted) lie "
        "above those of the same weight difference with its entries shuffled, intervals apart."
    )
    if unknown:
        rests += " For some the control was not run."
    return Answered(
        verdict=" and ".join(verdicts),
        says=" ".join(says),
        clause=" and ".join(clauses),
        strength=strength,
        rests_on=rests,
        effect_name=strongest.what,
        effect=strongest.effect,
        control_name="the same difference with its entries shuffled",
        control=strongest.control,
        unit=strongest.unit,
    )


def _spread_out(roles: LayerRoles) -> Answered:
    """Something was lost or gained, and no layer is named for it."""
    task = max(
        (t for t, role in enumerate(roles.role) if role != "none"),
        key=lambda t: abs(roles.gap.value[t].item()),
    )
    lost = roles.role[task] == "damage"
    moves = [move for layer in roles.changed_layers for move in _moves(roles, task, layer)]
    gap = _absolute(roles.gap[task])
    did = f"post {'lost' if lost else 'gained'} {spread(gap)} on {roles.task[task]}"
    says = [_changed(roles)]
    if not moves:
        says.append(f"{_capital(did)}, and only weights outside of the layers differ.")
        return _open(roles, task, says, gap, None)
    top = max(moves, key=lambda move: move.effect.value.item())
    alone = "is corrupted by itself" if lost else "carries it by itself in both directions"
    says.append(f"{_capital(did)}, and no single layer {alone}.")
    if bool(top.effect.low > 0):
        _, _, why = ONE_WAY[lost, top.says.startswith("reverting")]
        says.append(f"{_capital(_moving(top))}, in this direction only: {why}.")
    return _open(roles, task, says, gap, top)


def _open(
    roles: LayerRoles, task: int, says: list[str], gap: Estimate, top: _Move | None
) -> Answered:
    one_way = top is not None and bool(top.effect.low > 0) and beats(top.effect, top.control)
    part = 0 if top is None else _part(roles, top.layer)
    seen = likely_seen(roles.graft[task, part], roles.level, int(roles.n_problems[task]))
    clause, short = "no single layer carries the change", "none alone"
    if top is not None and one_way:
        lost = roles.role[task] == "damage"
        told = ONE_WAY[lost, top.says.startswith("reverting")]
        short, clause = (text.format(layer=top.layer) for text in told[:2])
    return Answered(
        verdict=f"{len(roles.changed_layers)} of {_n_layers(roles)} changed, {short}",
        says=" ".join(says),
        clause=clause,
        strength="moderate" if one_way else "weak",
        rests_on=(
            "One direction of moving a layer lies above its shuffled control and the other does "
            "not, so no layer has a verdict."
            if one_way
            else "No single layer has an effect whose interval excludes 0 and its shuffled control."
        ),
        effect_name=top.what if top is not None else f"gap on {roles.task[task]}",
        effect=top.effect if top is not None else gap,
        control_name="" if top is None else "the same difference with its entries shuffled",
        control=Estimate.missing() if top is None else top.control,
        unit=roles.unit[task],
        detectable=seen,
        detectable_of="what moving one layer does",
    )


def _no_gap(roles: LayerRoles) -> Answered:
    """Weights may differ, behaviour does not."""
    gaps = [(roles.gap[t], roles.task[t], int(roles.n_problems[t])) for t in range(len(roles.task))]
    most = max(range(len(gaps)), key=lambda t: max(map(abs, gaps[t][0].ends[1:])))
    gap, name, n = gaps[most]
    ends = max(abs(end) for each, _, _ in gaps for end in each.ends[1:])
    told = " and ".join(f"{task} ({spread(each, sign=True)})" for each, task, _ in gaps)
    strength: Strength = "none"
    within = f"every interval lies within ±{number(ends, digits=2)}"
    return Answered(
        verdict="nothing lost or gained",
        says=(
            f"{_changed(roles)} Nothing was clearly lost or gained on {told}, so no layer can be "
            "corrupted or carry a gain."
        ),
        clause="",
        strength=strength,
        rests_on=f"Of the gaps between the models, {within}; gaps below {roles.margin:g} do not "
        "count.",
        effect_name=f"gap on {name}",
        effect=gap,
        control=Estimate.missing(),
        unit=roles.unit[most],
        detectable=likely_seen(gap, roles.level, n),
        detectable_of=f"the gap on {name}",
    )


def _changed(roles: LayerRoles) -> str:
    """Which layers differ in any weight."""
    changed, n = roles.changed_layers, _n_layers(roles)
    if not changed:
        return f"None of {n} layers differs in its weights."
    if len(changed) == n:
        return f"Weights differ in all {n} layers."
    return f"Weights differ in {listed(changed)} (of 0–{n - 1})."


def _moving(move: _Move) -> str:
    return f"{move.says.replace(' it ', f' layer {move.layer} ')} {spread(move.effect)}"


def _task(roles: LayerRoles, role: str) -> int | None:
    """The task of a role with the largest gap."""
    own = [t for t, each in enumerate(roles.role) if each == role]
    return max(own, key=lambda t: abs(roles.gap.value[t].item()), default=None)


def _part(roles: LayerRoles, layer: int) -> int:
    whole = torch.tensor([kind == "layer" for kind in roles.kind])
    return int((whole & (roles.layer == layer)).nonzero()[0, 0])


def _n_layers(roles: LayerRoles) -> int:
    return sum(kind == "layer" for kind in roles.kind)


def _signed(estimate: Estimate, up: bool) -> Estimate:
    """The estimate, or its negative."""
    return estimate if up else negative(estimate)


def _absolute(estimate: Estimate) -> Estimate:
    return _signed(estimate, bool(estimate.value >= 0))


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
