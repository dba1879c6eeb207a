"""Sections of the page about features: gates, what stays, what rejects, transfer, the search."""

from collections.abc import Sequence

from elicit.features import (
    Conclusion,
    ContrastScores,
    FeatureTable,
    Fidelity,
    HeldOut,
    LatentScaling,
    ReasonScores,
    Regeneration,
    TokenInjection,
    Transfer,
)
from elicit.page import Plot, Section, Table, first, plot
from elicit.page.features import tables as t
from elicit.results import Result

SHOWN = 3
"""Features whose contexts are shown at once."""


def features_sections(results: Sequence[Result]) -> list[Section]:
    """Sections of everything that a run about features measures, in the order of its questions.

    Args:
        results: Results of any kind.
    """
    conclusion = first(results, Conclusion)
    found: list[Section] = []
    gates = [result for result in results if isinstance(result, Fidelity)]
    if gates:
        found.append(_gates(gates))
    held = first(results, HeldOut)
    if conclusion is not None and len(conclusion.feature):
        found.append(_stays(conclusion, held, results))
    elif held is not None:
        found.append(_held(held))
    table, injection = first(results, FeatureTable), first(results, TokenInjection)
    order = conclusion.feature.tolist() if conclusion is not None else None
    if table is not None:
        found.append(_contexts(table, order or table.feature.tolist()))
    if injection is not None:
        found.append(_injection(injection))
    again = first(results, Regeneration)
    if again is not None:
        found.append(_again(again))
    moved = first(results, Transfer)
    if moved is not None:
        found.append(_transfer(moved, first(results, LatentScaling), order or []))
    return [*found, *_search(results)]


def _stays(found: Conclusion, held: HeldOut | None, results: Sequence[Result]) -> Section:
    items: list[Plot | Table] = [
        t.candidate_table(
            found,
            held,
            first(results, TokenInjection),
            first(results, Regeneration),
            first(results, FeatureTable),
        )
    ]
    if held is not None:
        items.append(_held_plot(held))
    return Section(
        "features",
        "Which features stay",
        f"Features of {found.site} of {found.model}. Found on {found.n_choose} problems, told on "
        f"{found.n_test} others. A candidate stays if it holds there, tokens alone do not drive "
        "it, and it comes back where texts are written again.",
        tuple(items),
    )


def _held(found: HeldOut) -> Section:
    return Section(
        "features",
        "Candidates on other problems",
        f"Features of {found.site} of {found.model}, told on {found.n_problems} problems.",
        (_held_plot(found),),
    )


def _held_plot(found: HeldOut) -> Plot:
    caption = (
        "Chance that a feature is more active at the end of a prompt for reasoning than at the end "
        "of a prompt for an answer, on the problems to test on: 0.5 is none. Blue: holds; dark "
        "grey: does not. Open: the mean of features that are active as often."
    )
    return plot("plot-features", found.figure(), caption, columns=18)


def _gates(gates: Sequence[Fidelity]) -> Section:
    return Section(
        "gates",
        "Does the dictionary hold the models?",
        "What a dictionary does not hold, none of its features can stand for: below these gates "
        "nothing is concluded from it.",
        (t.gate_table(gates),),
    )


def _contexts(found: FeatureTable, features: Sequence[int]) -> Section:
    rest = features[SHOWN:]
    items = [t.context_table(found, features[:SHOWN])]
    if rest:
        items.append(t.context_table(found, rest, folded="Contexts of the other candidates"))
    return Section(
        "contexts",
        "Where they are active",
        "A name given after reading contexts is a guess; the tests below are about the feature, "
        "not about its name.",
        tuple(items),
    )


def _injection(found: TokenInjection) -> Section:
    caption = (
        "Each filled point: the tokens on which a feature is most active, put into texts that "
        "answer at once, in one of six ways; how far its largest activation rises there, in "
        "standard deviations. Open: as many tokens drawn from the texts themselves. Orange: "
        "tokens drive it, in part at least: the rise is large and a third or more of what "
        "reasoning does. A feature that is hardly ever active without reasoning rises by many "
        "standard deviations at once. Dotted: 0.2, 0.5 and 0.8, Cohen’s small, medium and large."
    )
    return Section(
        "injection",
        "Do tokens alone do it?",
        f"Put where nobody reasons ({found.n_texts} texts), a feature’s favourite tokens should do "
        "nothing if it is about reasoning. A large rise, a third or more of what reasoning does, "
        "rejects it.",
        (
            plot("plot-injection", found.figure(), caption, columns=22),
            t.injection_table(found),
        ),
    )


def _again(found: Regeneration) -> Section:
    caption = (
        f"Each text is cut before the token at which the feature is most active, and {found.model} "
        f"goes on {found.n_samples} times, {found.window} tokens each. Filled: share in which the "
        "feature is active again (blue: stable, orange: unstable). Open circle: the same after "
        "cuts at random places of the same texts; open diamond: features that are active as often, "
        f"after the same cuts. Dotted: {found.least:g}. Bars are {100 * found.level:g} % intervals "
        "over problems."
    )
    return Section(
        "again",
        "Do they come back?",
        "A feature that stands for a state comes back when its text is written again from before "
        "it; one that stands for words that happened to be drawn does not.",
        (plot("plot-again", found.figure(), caption, columns=22), t.again_table(found)),
    )


def _transfer(found: Transfer, scaling: LatentScaling | None, features: Sequence[int]) -> Section:
    caption = (
        f"The dictionary of {found.own} on {found.other}: as it is, with the mean moved back, and "
        "rotated too (both fitted to other problems). Bars of FVU: lower is better. What moving or "
        "rotating restores was never lost, only put elsewhere. Right: how alike each feature’s "
        "activations are on both models at the same tokens."
    )
    items: list[Plot | Table] = [
        plot("plot-transfer", found.figure(), caption, columns=28),
        t.transfer_table(found),
    ]
    if scaling is not None and features:
        items.append(t.scaling_table(scaling, features))
    return Section(
        "transfer",
        "Do the features mean the same in both models?",
        f"{found.n_tokens} tokens of {found.n_problems} problems, read by both.",
        tuple(items),
    )


def _search(results: Sequence[Result]) -> list[Section]:
    """How candidates were found, closed at first: it was on the problems to choose on."""
    items: list[Plot | Table] = []
    reason = first(results, ReasonScores)
    if reason is not None:
        caption = (
            "Left: ReasonScore, high for features that are active near words of reasoning, evenly "
            "over the words, and little elsewhere. Right: mean activation near each word, each "
            "feature on its own scale. Lexical by construction: what it finds has to be falsified."
        )
        items.append(
            plot(
                "plot-reason",
                reason.figure(),
                caption,
                columns=16 + 2 * len(reason.group),
                folded="ReasonScore",
            )
        )
    for n, scores in enumerate(result for result in results if isinstance(result, ContrastScores)):
        caption = (
            f"Every feature: AUROC between {scores.n_positive} and {scores.n_negative} independent "
            "values over the difference of means; in colour where the Holm-adjusted p is 0.01 or "
            "less. These are the problems to choose on, so nothing is concluded here."
        )
        what = scores.what[:1].upper() + scores.what[1:]
        items.append(plot(f"plot-contrast-{n}", scores.figure(), caption, columns=22, folded=what))
    if not items:
        return []
    return [
        Section(
            "search",
            "How candidates were found",
            "Scores on the problems to choose on. They name candidates and prove nothing.",
            tuple(items),
        )
    ]
