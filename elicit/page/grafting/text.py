"""Grafting findings in sentences."""

import re
from collections.abc import Sequence

from elicit.grafting import LayerRoles, Verdict
from elicit.results import number, visible

ROLES = {"damage": "lost (damage)", "skill": "gained (skill)", "none": "no clear gap"}


def summary_sentence(roles: LayerRoles) -> str:
    """Summary of gaps, verdicts and layers that cannot be distinguished."""
    layers = [i for i, kind in enumerate(roles.kind) if kind == "layer"]
    changed = [i for i in range(len(roles.part)) if bool(roles.changed[i])]
    if not changed and not roles.gap.value.any():
        return (
            f"Base and post have identical weights in every compared part ({len(layers)} layers), "
            "so every gap and every effect is exactly 0."
        )
    sentences = [_corrupted(roles), _skilled(roles), _without_gap(roles)]
    sentences += [_rest(roles, layers), _one_way(roles, layers)]
    sentences += [_outside(roles)]
    return " ".join(sentence for sentence in sentences if sentence)


def _corrupted(roles: LayerRoles) -> str:
    """What post lost, and the corrupted layers."""
    tasks = _with_role(roles, "damage")
    if not tasks:
        return ""
    lost = f"post lost {_gaps(roles, tasks)}"
    layers = roles.corrupted_layers
    if not layers:
        return _capital(
            f"{lost}, but no single layer has clear effects in both directions, so none is named "
            "as corrupted."
        )
    return _capital(
        f"{layers_text(layers)} (of 0–{_n_layers(roles) - 1}) "
        f"{'is' if len(layers) == 1 else 'are'} corrupted: {lost}; reverting improves post, and "
        "grafting harms base."
    )


def _skilled(roles: LayerRoles) -> str:
    """What post gained, and the layers that carry it."""
    tasks = _with_role(roles, "skill")
    if not tasks:
        return ""
    gained = f"post gained {_gaps(roles, tasks)}"
    layers = roles.skill_layers
    if not layers:
        return _capital(
            f"{gained}, but no single layer has clear effects in both directions, so none is named "
            "as its carrier."
        )
    return _capital(
        f"{layers_text(layers)} {'carries' if len(layers) == 1 else 'carry'} the skill: {gained}; "
        "reverting removes part of it from post, and grafting adds part of it to base."
    )


def _without_gap(roles: LayerRoles) -> str:
    """Tasks on which nothing was clearly lost or gained."""
    tasks = _with_role(roles, "none")
    if not tasks:
        return ""
    tasks_text = " and ".join(
        f"{task_text(roles.task[t])} (gap {_with_interval(roles, t, sign=True)}"
        f"{_too_small(roles, t)})"
        for t in tasks
    )
    alone = len(tasks) == len(roles.task)
    said = f"Nothing was clearly lost or gained on {tasks_text}"
    if not alone:
        return f"{said}."
    return f"{said}, so no layer can be called corrupted or said to carry a skill."


def _too_small(roles: LayerRoles, task: int) -> str:
    """Note on a gap whose interval excludes 0 but which is below the margin."""
    if not bool(roles.gap[task].clear):
        return ""
    return f", which excludes 0, but the gap is below the margin of {roles.margin:g}"


def _one_way(roles: LayerRoles, layers: Sequence[int]) -> str:
    """Layers without a verdict but with a clear effect in one direction."""
    found, verdicts = [], roles.verdict
    for t, role in enumerate(roles.role):
        if role == "none":
            continue
        least = roles.share_margin * abs(roles.gap.value[t].item())
        for move, host in (("graft", "base"), ("revert", "post")):
            effect = getattr(roles, move)[t]
            harms = (effect.high < 0) & (effect.value <= -least)
            helps = (effect.low > 0) & (effect.value >= least)
            for word, clear in (("harms", harms), ("helps", helps)):
                named = [
                    _layer(roles, i)
                    for i in layers
                    if verdicts[i] == (Verdict.CHANGED,) and clear[i]
                ]
                if named:
                    where = layers_text(named).lower()
                    task = task_text(roles.task[t])
                    found.append(f"{move}ing {word} {host} in {where} ({task})")
    if not found:
        return ""
    return (
        f"In one direction only, {', and '.join(found)}: another layer may mask or share the "
        "effect, so see the intervals of layers."
    )


def _rest(roles: LayerRoles, layers: Sequence[int]) -> str:
    """Changed layers without a verdict, and unchanged ones."""
    verdicts = roles.verdict
    plain, same = (
        [_layer(roles, i) for i in layers if verdicts[i] == (verdict,)]
        for verdict in (Verdict.CHANGED, Verdict.UNCHANGED)
    )
    parts = []
    if plain:
        all_of_them = (
            f"all {len(layers)} layers" if len(plain) == len(layers) else layers_text(plain)
        )
        if any(role != "none" for role in roles.role):
            named = len(plain) + len(same) < len(layers)
            parts.append(
                f"{all_of_them} changed{' too' if named else ''}, but no clear effect in both "
                "directions was found there"
            )
        else:
            parts.append(f"{all_of_them} changed all the same")
    if same:
        parts.append(f"{layers_text(same)} did not change at all")
    return f"{_capital('; '.join(parts))}." if parts else ""


def _outside(roles: LayerRoles) -> str:
    """Verdicts of parts outside the layers."""
    named = (roles.corrupted | roles.carries_skill).tolist()
    verdicts = roles.verdict
    parts = [
        f"{visible(roles.part[i])} {' and '.join(verdict.predicate for verdict in verdicts[i])}"
        for i, kind in enumerate(roles.kind)
        if kind == "outside" and named[i]
    ]
    return f"Outside the layers: {', '.join(parts)}." if parts else ""


def _with_role(roles: LayerRoles, role: str) -> list[int]:
    """Tasks of one role, by index."""
    return [t for t, each in enumerate(roles.role) if each == role]


def _gaps(roles: LayerRoles, tasks: Sequence[int]) -> str:
    """Gaps of some tasks with intervals and scores."""
    return " and ".join(
        f"{_with_interval(roles, t)} on {task_text(roles.task[t])} "
        f"({visible(roles.unit[t])} {_two(roles.base_score[t].item())} → "
        f"{_two(roles.post_score[t].item())})"
        for t in tasks
    )


def _with_interval(roles: LayerRoles, task: int, *, sign: bool = False) -> str:
    """A gap with its interval; unsigned where the sentence gives the direction."""
    value, low, high = roles.gap[task].ends
    if not sign and value < 0:
        value, low, high = -value, -high, -low
    value, low, high = (number(v, sign=sign, digits=2) for v in (value, low, high))
    ends = f"{100 * roles.level:g} % interval {low} to {high}"
    return f"{value}, {ends}" if sign else f"{value} ({ends})"


def _two(value: float) -> str:
    """A score with two decimals."""
    return number(value, digits=2)


def _layer(roles: LayerRoles, part: int) -> int:
    return int(roles.layer[part].item())


def _n_layers(roles: LayerRoles) -> int:
    return sum(kind == "layer" for kind in roles.kind)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def task_text(name: str) -> str:
    """Phrase for a task's name: quoted unless it is one plain word.

    >>> task_text("facts"), task_text("a b")
    ('facts', '“a b”')
    """
    return name if re.fullmatch(r"[\w.-]{1,40}", name, re.ASCII) else f"“{visible(name)}”"


def layers_text(layers: Sequence[int]) -> str:
    """Phrase for layers, consecutive ones joined.

    >>> layers_text([3]), layers_text([1, 4]), layers_text([0, 1, 2, 5])
    ('layer 3', 'layers 1 and 4', 'layers 0–2 and 5')
    """
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    named: list[str] = []
    for run in runs:
        named += [f"{run[0]}–{run[-1]}"] if len(run) > 2 else [str(layer) for layer in run]
    joined = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
    return f"layer{'' if len(layers) == 1 else 's'} {joined}"
