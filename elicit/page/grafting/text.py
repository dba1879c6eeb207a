"""What the page says in words: the summary, and how each figure is read."""

import re
from collections.abc import Sequence

from elicit.grafting import Attribution
from elicit.results.drawing import number, visible

ROLES = {"damage": "lost (damage)", "skill": "gained (skill)", "none": "no clear gap"}
VERDICTS = {
    "corrupted": "corrupted",
    "skill": "carries the skill",
    "changed": "changed, not distinguishable",
    "unchanged": "unchanged",
}
SHORT = {"corrupted": "corrupted", "skill": "skill", "changed": "changed", "unchanged": "unchanged"}
MARKS = {"corrupted": "✕", "skill": "★", "changed": "○", "unchanged": "−"}


def verdict_text(verdict: str) -> str:
    """A verdict in a table: its mark and one word.

    Args:
        verdict: As `Attribution.verdict` has it.
    """
    words = verdict.split("+")
    marks = "".join(MARKS.get(word, "") for word in words)
    return f"{marks}\N{NO-BREAK SPACE}{' and '.join(SHORT.get(word, word) for word in words)}"


def summary_sentence(attribution: Attribution) -> str:
    """What was found, in plain words: gaps, layers, and what cannot be told apart.

    Args:
        attribution: Effects of every part.
    """
    layers = [i for i, kind in enumerate(attribution.kind) if kind == "layer"]
    changed = [i for i in range(len(attribution.part)) if bool(attribution.changed[i])]
    if not changed and not attribution.gap.any():
        return (
            f"Base and post have the same weights in every part that was compared ({len(layers)} "
            "layers), "
            "so nothing can differ between them: every gap and every effect is exactly 0."
        )
    sentences = [_corrupted(attribution), _skilled(attribution), _without_gap(attribution)]
    sentences += [_rest(attribution, layers), _one_way(attribution, layers)]
    sentences += [_outside(attribution)]
    return " ".join(sentence for sentence in sentences if sentence)


def _corrupted(attribution: Attribution) -> str:
    """What was lost, and where."""
    tasks = _with_role(attribution, "damage")
    if not tasks:
        return ""
    lost = f"post lost {_gaps(attribution, tasks)}"
    layers = attribution.corrupted_layers
    if not layers:
        return _capital(
            f"{lost}, but no single layer can be named as corrupted: in none do base’s weights "
            "clearly heal post and "
            "post’s weights clearly harm base."
        )
    return _capital(
        f"{layers_text(layers)} of {_n_layers(attribution)} {'is' if len(layers) == 1 else 'are'} "
        f"corrupted: {lost}; base’s "
        "weights there heal post, and post’s weights there harm base."
    )


def _skilled(attribution: Attribution) -> str:
    """What was gained, and where."""
    tasks = _with_role(attribution, "skill")
    if not tasks:
        return ""
    gained = f"post gained {_gaps(attribution, tasks)}"
    layers = attribution.skill_layers
    if not layers:
        return _capital(
            f"{gained}, but no single layer can be named as its carrier: in none do base’s weights "
            "clearly take it from "
            "post and post’s weights clearly give it to base."
        )
    return _capital(
        f"{layers_text(layers)} {'carries' if len(layers) == 1 else 'carry'} the skill: {gained}; "
        "base’s weights there take some of it from post, and post’s weights there give some of it "
        "to base."
    )


def _without_gap(attribution: Attribution) -> str:
    """Tasks on which nothing was clearly lost or gained."""
    tasks = _with_role(attribution, "none")
    if not tasks:
        return ""
    told = " and ".join(
        f"{task_text(attribution.task[t])} (gap {_with_interval(attribution, t, sign=True)}"
        f"{_too_small(attribution, t)})"
        for t in tasks
    )
    alone = len(tasks) == len(attribution.task)
    said = f"Nothing was clearly lost or gained on {told}"
    if not alone:
        return f"{said}."
    return f"{said}, so no layer can be called corrupted or said to carry a skill."


def _too_small(attribution: Attribution, task: int) -> str:
    """Why a gap that is clear of 0 counts as none."""
    if attribution.gap_low[task] <= 0 <= attribution.gap_high[task]:
        return ""
    return f", clear of 0 but below the margin of {attribution.margin:g}"


def _one_way(attribution: Attribution, layers: Sequence[int]) -> str:
    """Layers without a verdict that one of the two moves alone changes clearly."""
    found = []
    for t, role in enumerate(attribution.role):
        if role == "none":
            continue
        least = attribution.share_margin * abs(attribution.gap[t].item())
        for move, host in (("graft", "base"), ("revert", "post")):
            value, low, high = (
                getattr(attribution, move + end)[t] for end in ("", "_low", "_high")
            )
            harms, helps = (high < 0) & (value <= -least), (low > 0) & (value >= least)
            for word, clear in (("harms", harms), ("helps", helps)):
                named = [
                    _layer(attribution, i)
                    for i in layers
                    if attribution.verdict[i] == "changed" and clear[i]
                ]
                if named:
                    where = layers_text(named).lower()
                    task = task_text(attribution.task[t])
                    found.append(f"{move}ing {word} {host} in {where} ({task})")
    if not found:
        return ""
    return (
        f"One way alone, {', and '.join(found)}: another layer may hide or share the effect, so "
        "see the intervals of layers."
    )


def _rest(attribution: Attribution, layers: Sequence[int]) -> str:
    """Changed layers without a verdict, and unchanged ones."""
    where = {
        word: [_layer(attribution, i) for i in layers if attribution.verdict[i] == word]
        for word in VERDICTS
    }
    plain, same = where["changed"], where["unchanged"]
    told = []
    if plain:
        all_of_them = (
            f"all {len(layers)} layers" if len(plain) == len(layers) else layers_text(plain)
        )
        if any(role != "none" for role in attribution.role):
            named = len(plain) + len(same) < len(layers)
            told.append(
                f"{all_of_them} changed{' too' if named else ''}, but no clear effect in both "
                "directions was found there"
            )
        else:
            told.append(f"{all_of_them} changed all the same")
    if same:
        told.append(f"{layers_text(same)} did not change at all")
    return f"{_capital('; '.join(told))}." if told else ""


def _outside(attribution: Attribution) -> str:
    """What was found outside the layers."""
    found = [
        (visible(attribution.part[i]), attribution.verdict[i])
        for i, kind in enumerate(attribution.kind)
        if kind == "outside" and attribution.verdict[i] not in ("changed", "unchanged")
    ]
    if not found:
        return ""
    return (
        "Outside the layers: "
        + ", ".join(f"{part} {_is(verdict)}" for part, verdict in found)
        + "."
    )


def _is(verdict: str) -> str:
    """A verdict as a predicate."""
    said = {"corrupted": "is corrupted", "skill": "carries the skill"}
    return " and ".join(said.get(word, word) for word in verdict.split("+"))


def _with_role(attribution: Attribution, role: str) -> list[int]:
    """Tasks of one role, by index."""
    return [t for t, own in enumerate(attribution.role) if own == role]


def _gaps(attribution: Attribution, tasks: Sequence[int]) -> str:
    """Sizes of some tasks' gaps with their intervals and scores."""
    return " and ".join(
        f"{_with_interval(attribution, t)} on {task_text(attribution.task[t])} "
        f"({visible(attribution.unit[t])} {_two(attribution.base_score[t].item())} → "
        f"{_two(attribution.post_score[t].item())})"
        for t in tasks
    )


def _with_interval(attribution: Attribution, task: int, *, sign: bool = False) -> str:
    """A gap with its interval; its size where the words around it say the direction."""
    values = [x[task].item() for x in (attribution.gap, attribution.gap_low, attribution.gap_high)]
    if not sign and values[0] < 0:
        values = [-values[0], -values[2], -values[1]]
    value, low, high = (number(v, sign=sign, digits=2) for v in values)
    ends = f"{100 * attribution.level:g} % interval {low} to {high}"
    return f"{value}, {ends}" if sign else f"{value} ({ends})"


def _two(value: float) -> str:
    """A score with two decimals."""
    return number(value, digits=2)


def _layer(attribution: Attribution, part: int) -> int:
    return int(attribution.layer[part].item())


def _n_layers(attribution: Attribution) -> int:
    return sum(kind == "layer" for kind in attribution.kind)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def task_text(name: str) -> str:
    """A task's name inside a sentence: quoted unless it is one plain word.

    Args:
        name: Name as the user gave it.

    >>> task_text("facts"), task_text("a b")
    ('facts', '“a b”')
    """
    return name if re.fullmatch(r"[\w.-]{1,40}", name, re.ASCII) else f"“{visible(name)}”"


def layers_text(layers: Sequence[int]) -> str:
    """Layers in words, neighbours joined.

    Args:
        layers: Indices.

    >>> layers_text([3]), layers_text([1, 4]), layers_text([0, 1, 2, 5])
    ('layer 3', 'layers 1 and 4', 'layers 0–2 and 5')
    """
    runs: list[list[int]] = []
    for layer in sorted(layers):
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    told: list[str] = []
    for run in runs:
        told += [f"{run[0]}–{run[-1]}"] if len(run) > 2 else [str(layer) for layer in run]
    joined = " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)
    return f"layer{'' if len(layers) == 1 else 's'} {joined}"
