"""Sections on features: fidelity, survivors, tests, transfer, search."""

from collections.abc import Sequence

from elicit.features import (
    Conclusion,
    ContrastScores,
    FeatureTable,
    Fidelity,
    HeldOut,
    LatentScaling,
    ReasonScores,
    ResamplingStability,
    TokenInjection,
    Transfer,
)
from elicit.features.figures import held_out_figure
from elicit.page import Plot, Section, Table, first, plot
from elicit.page.features import tables as t
from elicit.results import Result

SHOWN = 3
"""Number of features whose contexts are shown unfolded."""


def features_sections(results: Sequence[Result]) -> list[Section]:
    """Sections of a features run, in order of its questions."""
    conclusion, held = first(results, Conclusion), first(results, HeldOut)
    order = [] if conclusion is None else conclusion.feature.tolist()
    sections: list[Section] = []
    gates = [result for result in results if isinstance(result, Fidelity)]
    if gates:
        sections.append(_gates(gates))
    if conclusion is not None and order:
        sections.append(_survivors(conclusion, held, results))
    elif held is not None:
        sections.append(_held(held))
    table = first(results, FeatureTable)
    if table is not None:
        sections.append(_contexts(table, order or table.feature.tolist()))
    injection = first(results, TokenInjection)
    if injection is not None:
        sections.append(_injection(injection))
    resampling = first(results, ResamplingStability)
    if resampling is not None:
        sections.append(_resampling(resampling))
    moved = first(results, Transfer)
    if moved is not None:
        sections.append(_transfer(moved, first(results, LatentScaling), order))
    return [*sections, *_search(results)]


def _survivors(result: Conclusion, held: HeldOut | None, results: Sequence[Result]) -> Section:
    items: list[Plot | Table] = [t.candidate_table(result, results)]
    if held is not None:
        items.append(_held_plot(held, result.feature.tolist()))
    return Section(
        "features",
        "Which features survive?",
        f"Features of {result.site} of {result.model}, selected on {result.n_choose} problems and "
        f"evaluated on {result.n_test} held-out problems. A candidate survives if it holds there, "
        "is not driven by tokens alone, and recurs when the text is resampled.",
        tuple(items),
    )


def _held(result: HeldOut) -> Section:
    return Section(
        "features",
        "Candidates on held-out problems",
        f"Features of {result.site} of {result.model}, evaluated on {result.n_problems} held-out "
        "problems.",
        (_held_plot(result, result.feature.tolist()),),
    )


def _held_plot(result: HeldOut, order: Sequence[int]) -> Plot:
    """AUROC of every candidate, in the order of the table above it."""
    caption = (
        "How well each feature separates reasoning prompts from direct-answer prompts at their "
        "last token (AUROC), on held-out problems: 0.5 is chance. Blue: holds; grey: does not. "
        "Open: mean of rate-matched features."
    )
    return plot("plot-features", held_out_figure(result, order), caption, columns=18)


def _gates(gates: Sequence[Fidelity]) -> Section:
    return Section(
        "gates",
        "Does the SAE reconstruct both models?",
        "No feature can represent what the SAE does not reconstruct: if it fails these gates, "
        "nothing is concluded from it.",
        (t.gate_table(gates),),
    )


def _contexts(result: FeatureTable, features: Sequence[int]) -> Section:
    rest = features[SHOWN:]
    items = [t.context_table(result, features[:SHOWN])]
    if rest:
        items.append(t.context_table(result, rest, folded="Contexts of the other candidates"))
    return Section(
        "contexts",
        "Where are the features active?",
        "A label read off contexts is a guess; the tests below are about the feature, not its "
        "label.",
        tuple(items),
    )


def _injection(result: TokenInjection) -> Section:
    caption = (
        "Filled: the tokens on which a feature is most active, injected into direct answers in one "
        "of six ways: rise of its largest activation, in standard deviations. Open: as many "
        "tokens drawn from the texts themselves. Orange: tokens drive it, at least in part: "
        "the rise is large and a third or more of the rise by reasoning. A feature that is hardly "
        "ever active without reasoning easily rises by many standard deviations. Dotted: 0.2, 0.5 "
        "and 0.8, Cohen’s small, medium and large."
    )
    return Section(
        "injection",
        "Do tokens alone activate the feature?",
        f"Injected into {result.n_texts} texts without reasoning, a feature’s top tokens should do "
        "nothing if it is about reasoning. A large rise, a third or more of the rise by reasoning, "
        "rejects it.",
        (plot("plot-injection", result.figure(), caption, columns=22), t.injection_table(result)),
    )


def _resampling(result: ResamplingStability) -> Section:
    caption = (
        "Each text is cut before the token at which the feature is most active, and "
        f"{result.model} continues it {result.n_samples} times, {result.window} tokens each. "
        "Filled: share in which the feature is active (blue: stable, orange: unstable). Open "
        "circle: the same after cuts at random positions of the same texts; open diamond: "
        f"rate-matched features after the same cuts. Dotted: {result.least:g}. Bars are "
        f"{100 * result.level:g} % intervals over problems."
    )
    return Section(
        "resampling",
        "Do features recur when the text is resampled?",
        "A feature of a state recurs when its text is resampled from before it; a feature of words "
        "that happened to be sampled does not.",
        (plot("plot-resampling", result.figure(), caption, columns=22), t.resampling_table(result)),
    )


def _transfer(result: Transfer, scaling: LatentScaling | None, features: Sequence[int]) -> Section:
    caption = (
        f"The SAE of {result.own} applied to {result.other}: raw, mean-shifted, and rotated (both "
        "fitted to other problems). FVU: lower is better. What shifting or rotating restores was "
        "never lost, only moved. Right: correlation of each feature’s activations on both models "
        "at the same tokens."
    )
    items: list[Plot | Table] = [
        plot("plot-transfer", result.figure(), caption, columns=28),
        t.transfer_table(result),
    ]
    if scaling is not None and features:
        items.append(t.scaling_table(scaling, features))
    return Section(
        "transfer",
        "Do the features mean the same in both models?",
        f"{result.n_tokens} tokens of {result.n_problems} problems, read by both.",
        tuple(items),
    )


def _search(results: Sequence[Result]) -> list[Section]:
    """Selection of candidates, folded, because it used the selection problems."""
    items: list[Plot | Table] = []
    reason = first(results, ReasonScores)
    if reason is not None:
        caption = (
            "Left: ReasonScore, high for features that are active near reasoning words, evenly "
            "over the words, and little elsewhere. Right: mean activation near each word, each "
            "feature on its own scale. Lexical by construction, so its candidates must be tested."
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
            "less. These are the selection problems, so nothing is concluded here."
        )
        what = scores.what[:1].upper() + scores.what[1:]
        items.append(plot(f"plot-contrast-{n}", scores.figure(), caption, columns=22, folded=what))
    if not items:
        return []
    return [
        Section(
            "search",
            "How were candidates found?",
            "Scores on the selection problems. They suggest candidates and prove nothing.",
            tuple(items),
        )
    ]
