"""Section on what several samples reach: pass@k beside chance, verified, and coverage."""

import math

from elicit.page import Plot, Section, Table, estimate_cell, plot, table_of
from elicit.page.traces.text import level_text
from elicit.results import interval, number
from elicit.traces import Reach, VoteSweep
from elicit.traces.figures import coverage_figure

LEAST = 5
"""Fewest problems that post solves from which coverage is drawn."""


def reach_section(found: Reach, n: int) -> Section:
    """pass@k of both models with its chance, verified beside, and coverage above chance.

    Args:
        found: What several samples reach.
        n: Number of the section.
    """
    caption = (
        f"One of k samples is right, k up to {found.n_samples}; bars are {level_text(found)}"
        "intervals that hold for all k together. Dotted: the same samples graded against answers "
        "of other problems, which is what chance alone reaches. "
        + (
            "Right: a sample counts only if its thought could be checked and every step holds, "
            "which leaves lucky answers out. The checker reads arithmetic, not whether the steps "
            "were needed."
            if _checked(found)
            else "No thought could be checked."
        )
    )
    items: list[Plot | Table] = [
        plot(f"plot-reach-{n}", found.figure(), caption, columns=20 if _checked(found) else 12)
    ]
    if found.n_solved >= LEAST and not bool(found.coverage.value.isnan().all()):
        solved = (
            f"Of the {found.n_solved} problems that post solves in the greater part of its "
            "samples, the share that base reaches with k; squares: less what chance reaches on the "
            f"same problems. Bars are {level_text(found)}intervals over problems."
        )
        items.append(plot(f"plot-coverage-{n}", coverage_figure(found), solved, columns=12))
    return Section(
        f"reach-{n}",
        "What several samples reach",
        f"{crossover_sentence(found)} {chance_sentence(found)} {_few(found)}".rstrip(),
        (*items, _table(found)),
    )


def votes_section(found: VoteSweep, n: int) -> Section:
    """Votes of both models at equal tokens, one thought of that length beside.

    Args:
        found: The votes.
        n: Number of the section.
    """
    alone = bool(found.single.value.isfinite().any())
    caption = (
        "Share of problems whose majority vote is right when every problem has so many "
        f"tokens; a sample that does not fit has no vote. Bars are {level_text(found)}intervals "
        "that hold for all budgets together."
        + (" Dotted: the model’s one greedy thought, cut there and asked." if alone else "")
    )
    rows = [
        [
            str(budget),
            *(estimate_cell(found.accuracy[m, i], digits=2) for m in range(2)),
            estimate_cell(found.difference[i], digits=2, effect=True),
            " / ".join(number(x, digits=1) for x in found.n_votes[:, i].tolist()),
            " / ".join(number(x, digits=2) for x in found.exhausted[:, i].tolist()),
        ]
        for i, budget in enumerate(found.budget.tolist())
    ]
    told = (
        "Two numbers with a stroke: base / post. All used: share of problems whose samples all "
        "fit. Bold: the interval excludes 0."
    )
    head = ("tokens", "base", "post", "post minus base", "votes", "all used")
    length = " and ".join(
        f"{number(x, digits=0)} in {name}"
        for name, x in zip(found.reading, found.mean_tokens.tolist(), strict=True)
    )
    return Section(
        f"votes-{n}",
        "Votes at equal tokens",
        f"A model whose texts are shorter casts more votes for the same tokens. Mean tokens of a "
        f"sample: {length}. {votes_sentence(found)}",
        (
            plot(f"plot-votes-{n}", found.figure(), caption, columns=12),
            table_of(told, head, rows, 1, "Every number"),
        ),
    )


def votes_sentence(found: VoteSweep) -> str:
    """At which budgets the votes of one model are clearly better, if at any.

    Args:
        found: The votes.
    """
    told = []
    for name, better in (
        ("post", found.difference.low > 0),
        ("base", found.difference.high < 0),
    ):
        at = found.budget[better].tolist()
        if at:
            told.append(f"{name}’s votes are right more often at {', '.join(map(str, at))} tokens")
    return (
        f"{'; '.join(told)[:1].upper()}{'; '.join(told)[1:]}."
        if told
        else ("At no budget are the votes of one model clearly right more often.")
    )


def crossover_sentence(found: Reach) -> str:
    """Whether base overtakes post with more samples, no further than was sampled.

    Args:
        found: What several samples reach.
    """
    value, low, high = found.crossover.ends
    last = int(found.k.max())
    if math.isnan(value):
        return "Whether base overtakes post was not measured."
    if math.isinf(value):
        room = (
            f" (other draws of the problems leave room for it from k = {low:g} on)"
            if math.isfinite(low)
            else ""
        )
        return f"Base overtakes post at no k up to {last}{room}; of larger k this says nothing."
    if value == float(found.k.min()) == low == high:
        return f"Base passes more than post already at k = {value:g}, in other draws as well."
    span = (
        f"k = {low:g} to {high:g}"
        if math.isfinite(high)
        else f"from k = {low:g} on, or at none up to {last}"
    )
    return f"Base overtakes post at k = {value:g} (interval: {span})."


def chance_sentence(found: Reach) -> str:
    """pass@k at the largest k, beside what chance and checked thoughts leave of it.

    Args:
        found: What several samples reach.
    """
    at = int(found.k.argmax())
    told = []
    for row, name in enumerate(found.reading):
        above = interval(*found.above[row, at].ends, digits=2)
        passed = number(found.passed.value[row, at].item(), digits=2)
        verified = found.verified.value[row, at].item()
        checked = "" if verified != verified else f"; verified {number(verified, digits=2)}"
        told.append(f"{name} passes {passed} (above chance {above}{checked})")
    return f"With {int(found.k[at])} samples {' and '.join(told)}."


def _few(found: Reach) -> str:
    if found.n_solved >= LEAST:
        return ""
    return (
        f"Post solves {found.n_solved} problems in the greater part of its samples, too few to say "
        "how many of them base reaches."
    )


def _checked(found: Reach) -> bool:
    return not bool(found.verified.value.isnan().all())


def _table(found: Reach) -> Table:
    kinds = [("pass@k", found.passed), ("chance", found.floor)]
    kinds += [("verified", found.verified)] if _checked(found) else []
    rows = [
        [
            str(k),
            *(estimate_cell(each[m, i], digits=2) for _, each in kinds for m in range(2)),
            estimate_cell(found.coverage[i], digits=2),
            estimate_cell(found.coverage_above[i], digits=2, effect=True),
        ]
        for i, k in enumerate(found.k.tolist())
    ]
    valid = " and ".join(
        f"{interval(*found.valid[m].ends, digits=2).removeprefix('+')} in {name}"
        for m, name in enumerate(found.reading)
    )
    caption = (
        f"Intervals are {level_text(found)}ones; of pass@k they hold for all k together. Share of "
        f"the thoughts that could be checked in which every step holds: {valid}. A dash: not "
        "measured. Bold: the interval excludes 0."
    )
    head = (
        "k",
        *(f"{name}, {model}" for name, _ in kinds for model in found.reading),
        "coverage",
        "coverage above chance",
    )
    return table_of(caption, head, rows, 1, "Every number")
