"""Sections on written thoughts: the scorecard, what it rests on, and the thoughts themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from elicit.page import Fragment, Plot, Section, Table, first, plot
from elicit.page.traces import tables as t
from elicit.page.traces.anchors import anchors_section, receivers_section
from elicit.page.traces.crossing import crossing_section
from elicit.page.traces.reach import reach_section, votes_section
from elicit.page.traces.shifts import shifts_section
from elicit.page.traces.text import VERDICTS, level_text, reason_text, verdict_text
from elicit.page.traces.thoughts import views
from elicit.page.traces.writing import writing_sections
from elicit.results import Result
from elicit.traces import (
    Anchors,
    Conclusion,
    Crossing,
    Dependence,
    Discrimination,
    Information,
    Ledger,
    Reach,
    Receivers,
    Shifts,
    VoteSweep,
)
from elicit.traces.figures import gain_figure, grouped
from elicit.verdicts import Scorecard

_HERE = Path(__file__).parent
R = TypeVar("R", bound=Result)


def trace_sections(results: Sequence[Result]) -> list[Section]:
    """Sections in the order of the argument: verdict, dependence, information, shifts, texts."""
    sections: list[Section] = []
    pair = _ledgers(results)
    for n, result in enumerate(results):
        if isinstance(result, Scorecard):
            sections.append(_without_cut(result) if result.n_cut else _scorecard(result, n))
    for kind, make in (
        (Dependence, _dependence),
        (Information, _information),
        (Conclusion, _conclusion),
        (Discrimination, _discrimination),
    ):
        found = [result for result in results if isinstance(result, kind)]
        sections += [make(result, n, pair) for n, result in enumerate(found)]  # pyright: ignore[reportArgumentType]
    sections += writing_sections(results)
    sections += _further(results, pair)
    if pair is not None:
        if first(results, Information) is None:
            sections.append(_curve(pair))
        sections.append(_thoughts(pair, first(results, Dependence)))
    return sections


Pair = tuple[Ledger, Ledger]


def _further(results: Sequence[Result], pair: Pair | None) -> list[Section]:
    """Where predictions moved, and what was measured on request."""

    def all_of(kind: type[R]) -> list[R]:
        return [result for result in results if isinstance(result, kind)]

    sections = [shifts_section(each, n, pair or ()) for n, each in enumerate(all_of(Shifts))]
    sections += [reach_section(each, n) for n, each in enumerate(all_of(Reach))]
    sections += [votes_section(each, n) for n, each in enumerate(all_of(VoteSweep))]
    crossed = all_of(Crossing)
    if crossed:
        sections.append(crossing_section(crossed))
    sections += [anchors_section(each, n) for n, each in enumerate(all_of(Anchors))]
    return sections + [receivers_section(each, n) for n, each in enumerate(all_of(Receivers))]


def _ledgers(results: Sequence[Result]) -> Pair | None:
    """What base reads and what post reads: each its own thoughts, or both the same."""
    found = {result.source: result for result in results if isinstance(result, Ledger)}
    if not found:
        return None
    if {"base", "post"} <= found.keys():
        return found["base"], found["post"]
    one = next(iter(found.values()))
    return one, one


def _scorecard(card: Scorecard, n: int) -> Section:
    whose = (
        "Each model reads its own thoughts."
        if card.source == "own"
        else "Both models read the same given thoughts."
    )
    caption = (
        "Circles: base; diamonds: post, a little below. Bars are "
        f"{level_text(card)}intervals of each number alone; the difference beside each name is "
        "paired by problem, so the bars of both models may overlap although it is clear."
    )
    shares = [
        {"name": name, "percent": f"{100 * share:.0f}", "grow": f"{share:.4f}"}
        for name, share in zip(card.item_verdict, card.item_share.tolist(), strict=True)
        if share == share
    ]
    covariates = t.covariate_table(card)
    return Section(
        f"scorecard-{n}",
        "Does the thought still decide?",
        f"{whose} The verdict rests on {card.n_problems} problems whose "
        "conclusion could be changed in both models’ readings.",
        (
            Fragment(
                _HERE / "verdict.html",
                {
                    "card": card,
                    "verdict": verdict_text(card.verdict),
                    "names": tuple(map(verdict_text, VERDICTS)),
                    "meaning": VERDICTS.get(card.verdict, ""),
                    "items": shares,
                },
            ),
            plot(f"plot-scorecard-{n}", card.figure(), caption, columns=12),
            t.primary_table(card),
            t.meaning_table(card),
            *([] if covariates is None else [covariates]),
        ),
    )


def _without_cut(card: Scorecard) -> Section:
    """The same card without the problems whose texts were cut before they ended."""
    covariates = t.covariate_table(card)
    return Section(
        "complete",
        "The same without texts that were cut short",
        f"{_problems(card.n_cut)} left out because a text on them was cut before its writer ended "
        f"it: what such a text would have concluded is not known. Verdict on the other "
        f"{card.n_problems}: {card.verdict}. {reason_text(card)}",
        (t.primary_table(card), *([] if covariates is None else [covariates])),
    )


def _problems(n: int) -> str:
    return "1 problem is" if n == 1 else f"{n} problems are"


def _dependence(found: Dependence, n: int, pair: Pair | None) -> Section:
    edited = [i for i, name in enumerate(found.metric) if "edited question" in name]
    asked = bool(edited) and not bool(found.estimate.value[edited].isnan().all())
    caption = (
        "Circles: base; diamonds: post. “Follows” is the finding: 1 where the thought decides. An "
        "answer that flips without following only wanders. Operands swapped is the control that "
        "should stay at 1 where thoughts are read at all. "
        + (
            "Edited questions tell whether the question decides: near 1 with the old thought, it "
            "does. "
            if asked
            else "The task has no edited questions, so whether the question decides was not asked. "
        )
        + "Metrics below, which cut the thought short, also move for other reasons. Bars are "
        f"{level_text(found)}intervals of each number alone."
    )
    order = [i for places in grouped(found.metric).values() for i in places]
    left = (
        f" {found.n_unaltered} of base’s thoughts do not state their answer and are left out of "
        "“follows”."
        if found.n_unaltered
        else ""
    )
    return Section(
        f"dependence-{n}",
        "What changed thoughts do to the answer",
        f"The thought is altered where it concludes, and each model answers.{left}",
        (
            plot(f"plot-dependence-{n}", found.figure(), caption, columns=12),
            *t.measures_tables(found, order),
        ),
    )


def _information(found: Information, n: int, pair: Pair | None) -> Section:
    items: list[Plot | Table] = []
    if pair is not None and not n:
        items.append(_gain_plot(pair))
    caption = (
        "One point a problem; the large marks are means with "
        f"{level_text(found)}intervals. Bits of the right answer’s share: 1 bit doubles it."
    )
    items += [
        plot(f"plot-information-{n}", found.figure(), caption, columns=12),
        *t.measures_tables(found, list(range(len(found.metric)))),
    ]
    return Section(
        f"information-{n}",
        "What thoughts tell about the right answer",
        "How much more probable the right answer becomes while the thought is read. A thought that "
        "restates a leak tells as much; what it tells need not be what decides.",
        tuple(items),
    )


def _gain_plot(pair: Pair) -> Plot:
    caption = (
        "Share of the right answer among the candidates while the thought is read, each at the "
        "last cut that is not later. Lines: median over problems; bands: the middle half of "
        "problems, not an interval of the median."
    )
    return plot("plot-gain", gain_figure(*pair), caption, columns=12)


def _curve(pair: Pair) -> Section:
    return Section(
        "gain",
        "What thoughts tell about the right answer",
        "How much more probable the right answer becomes while the thought is read.",
        (_gain_plot(pair),),
    )


def _conclusion(found: Conclusion, n: int, pair: Pair | None) -> Section:
    caption = (
        "Share of problems answered rightly when every thought is cut at that share of its tokens, "
        "at the last cut that is not later. Left: without the thought; right: with all of it."
    )
    return Section(
        f"conclusion-{n}",
        "How early the answer is there",
        "Where thoughts conclude, and what stands after the conclusion.",
        (
            plot(f"plot-conclusion-{n}", found.figure(), caption, columns=12),
            *t.measures_tables(found, list(range(len(found.metric)))),
        ),
    )


def _discrimination(found: Discrimination, n: int, pair: Pair | None) -> Section:
    right = " and ".join(
        f"{k} of {total} in {name}"
        for name, k, total in zip(
            found.reading, found.n_right.tolist(), found.n.tolist(), strict=True
        )
    )
    caption = (
        "Dotted: 0.5, the signal says nothing. Length alone (shorter is surer) often does as much "
        "as confidence, so it is shown for comparison. A model without marks answers all "
        "rightly, or none. "
        f"Bars are {level_text(found)}intervals."
    )
    told = f"Answers after the whole thought are right on {right}"
    if not found.auroc.value.isfinite().any():
        # No empty axes where no signal could tell anything apart.
        lead = f"{told}, so there is nothing to tell apart and no area."
        return Section(f"discrimination-{n}", "Does confidence tell right from wrong?", lead, ())
    return Section(
        f"discrimination-{n}",
        "Does confidence tell right from wrong?",
        f"{told}.",
        (
            plot(f"plot-discrimination-{n}", found.figure(), caption, columns=12),
            t.discrimination_table(found),
        ),
    )


def _thoughts(pair: Pair, dependence: Dependence | None) -> Section:
    own = pair[0] is not pair[1]
    shown = views(*pair, dependence)
    total = len({*pair[0].problem, *pair[1].problem})
    first_ones = (
        " First problems on which base follows the changed conclusion and post does not, then "
        "others."
        if dependence is not None
        else ""
    )
    unplaced = any(step.forks for view in shown for side in view.sides for step in side.steps)
    return Section(
        "thoughts",
        "The thoughts, step by step",
        f"{len(shown)} of {total} problems.{first_ones} A step is coloured by what it does to the "
        "right answer’s share, in base’s reading and in post’s. A fork is a token at which the "
        "models’ predictions part (Jensen–Shannon divergence above 0.1 nats). Texts are verbatim; "
        "invisible characters are shown as escapes.",
        (Fragment(_HERE / "thoughts.html", {"views": shown, "own": own, "unplaced": unplaced}),),
    )
