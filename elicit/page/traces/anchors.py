"""Sections on steps that decide, and on heads that pick single steps."""

from dataclasses import dataclass
from pathlib import Path

from elicit.page import Fragment, Section, Table, estimate_cell, plot, table_of
from elicit.page.traces import tables as t
from elicit.page.traces.text import level_text
from elicit.results import interval, number
from elicit.traces import Anchors, Receivers

MOST = 3
"""Thoughts whose steps are shown."""
_BOUNDS = (0.1, 0.25, 0.5)
"""Excess of a step's resampling importance over its floor from which it is coloured."""
_PAIRINGS = {
    "resampling, entropy_before": "resampling importance and headroom",
    "resampling, forced": "resampling and forced importance",
    "resampling, suppression": "resampling importance and suppression in the next step",
}


@dataclass(frozen=True, kw_only=True)
class AnchorStep:
    """One step of a thought."""

    text: str
    """Text of a model or of a file: never trusted."""
    ground: str
    """How it is coloured, `up1` ... `up3`, or empty."""
    value: str
    """Its resampling importance where it is coloured, else empty."""
    told: str
    """All its numbers."""


@dataclass(frozen=True, kw_only=True)
class AnchorView:
    """One problem, base's steps and post's."""

    problem: str
    """Its id."""
    sides: tuple[tuple[str, tuple[AnchorStep, ...]], ...]
    """Each model's name with the steps that it reads."""


def anchors_section(found: Anchors, n: int) -> Section:
    """Importances of steps in three ways, and the steps themselves.

    Args:
        found: Importances of steps.
        n: Number of the section.
    """
    caption = (
        "Circles: base; diamonds: post. Resampling: how far answers move when the step is kept, "
        "between texts written on from before it and from after it. The floor is the distance of "
        "two samples of that size where nothing moves: an importance at its floor shows none. "
        "Forced: how far the answer that is asked for at once moves. Bars are "
        f"{level_text(found)}intervals of each number alone, over {len(found.problem)} problems."
    )
    fragment = Fragment(Path(__file__).parent / "anchors.html", {"views": views(found)})
    return Section(
        f"anchors-{n}",
        "Which steps decide",
        f"{found.n_samples} texts were written on from every cut of thoughts on "
        f"{len(found.problem)} problems. {anchors_sentence(found)}",
        (
            plot(f"plot-anchors-{n}", found.figure(), caption, columns=12),
            fragment,
            _correlations(found),
            *t.measures_tables(found, list(range(len(found.metric)))),
        ),
    )


def anchors_sentence(found: Anchors) -> str:
    """First and later steps of both models beside the floor, and what the measure cannot see.

    Args:
        found: Importances of steps.
    """

    def of(name: str, m: int) -> str:
        ends = found.estimate[found.metric.index(name), m].ends
        return interval(*ends, digits=2).removeprefix("+")

    told = [
        f"in {model} {of('resampling importance of the first step', m)} for the first step and "
        f"{of('resampling importance of later steps', m)} for later ones (floor over all steps "
        f"{of('resampling floor', m)})"
        for m, model in enumerate(found.reading)
    ]
    return (
        f"Resampling importance is {', and '.join(told)}. It is low wherever the step would come "
        "again anyway, however needed it is; forced importance asks for the answer at once and "
        "does not depend on that."
    )


def views(found: Anchors) -> tuple[AnchorView, ...]:
    """The thoughts whose steps stand out most, at most three.

    Args:
        found: Importances of steps.
    """
    best: dict[str, float] = {}
    for i, problem in enumerate(found.step_problem):
        excess = float(found.resampling[i] - found.resampling_floor[i])
        best[problem] = max(best.get(problem, excess), excess)
    chosen = sorted(best, key=lambda problem: -best[problem])[:MOST]
    return tuple(
        AnchorView(
            problem=problem,
            sides=tuple((model, _steps(found, model, problem)) for model in found.reading),
        )
        for problem in chosen
    )


def _steps(found: Anchors, model: str, problem: str) -> tuple[AnchorStep, ...]:
    steps = []
    for i, own in enumerate(zip(found.step_reading, found.step_problem, strict=True)):
        if own != (model, problem):
            continue
        value, floor = found.resampling[i].item(), found.resampling_floor[i].item()
        strength = sum(value - floor >= bound for bound in _BOUNDS)
        lost = found.suppression[i].item()
        told = (
            f"resampling {number(value, digits=2)} (floor {number(floor, digits=2)}), forced "
            f"{number(found.forced[i].item(), digits=2)}, entropy of answers before it "
            f"{number(found.entropy_before[i].item(), digits=2)} nats"
        )
        if lost == lost:
            told += f", without it predictions in the next step move {number(lost)} nats a token"
        steps.append(
            AnchorStep(
                text=found.step_text[i],
                ground=f"up{strength}" if strength else "",
                value=number(value, digits=2) if strength else "",
                told=told,
            )
        )
    return tuple(steps)


def _correlations(found: Anchors) -> Table:
    rows = [
        [
            _PAIRINGS.get(name, name),
            *(estimate_cell(found.correlation[i, m], digits=2, effect=True) for m in range(2)),
        ]
        for i, name in enumerate(found.pairing)
    ]
    caption = (
        "Rank correlations over the steps of each model’s readings, with "
        f"{level_text(found)}intervals from resampling problems. Near 1 with headroom: a step "
        "decides where answers were still open. A dash: one of the two does not vary. Bold: the "
        "interval excludes 0."
    )
    return table_of(caption, ("measures", "base", "post"), rows)


def receivers_section(found: Receivers, n: int) -> Section:
    """Heads whose attention picks single steps beyond their recency.

    Args:
        found: Concentration of every head.
        n: Number of the section.
    """
    n_heads = len(found.layer) * len(found.head)
    caption = (
        "Colour: the largest share of one earlier step in the attention that later steps give, "
        "less what the head’s own recency would give. Dot: the "
        f"{level_text(found)}interval of that head alone lies above 0; of {n_heads} heads some do "
        "by chance."
    )
    told = [
        f"{int((found.above_recency.low[m] > 0).sum())} of {n_heads} heads in {name} "
        f"({int(found.n_texts[m])} texts)"
        for m, name in enumerate(found.reading)
    ]
    return Section(
        f"receivers-{n}",
        "Heads that pick single steps",
        f"Attention is more concentrated than recency explains in {' and '.join(told)}, each head "
        "judged by itself. That says where heads look, not what is used.",
        (plot(f"plot-receivers-{n}", found.figure(), caption, columns=20), _heads(found)),
    )


def _heads(found: Receivers) -> Table:
    """The heads above their recency by most, a few of each model."""
    rows = []
    for m, name in enumerate(found.reading):
        order = found.above_recency.value[m].flatten().argsort(descending=True).tolist()[:5]
        for i, j in (divmod(place, len(found.head)) for place in order):
            rows.append(
                [
                    f"{name}, layer {int(found.layer[i])}, head {int(found.head[j])}",
                    estimate_cell(found.concentration[m, i, j], digits=2),
                    number(found.by_recency[m, i, j].item(), digits=2),
                    estimate_cell(found.above_recency[m, i, j], digits=2, effect=True),
                    number(found.within_one[m, i, j].item(), digits=2),
                ]
            )
    caption = "The heads of each model that lie furthest above their recency, at most five."
    head = ("head", "concentration", "by recency alone", "above recency", "on the step just before")
    return table_of(caption, head, rows, 1, "Single heads")
