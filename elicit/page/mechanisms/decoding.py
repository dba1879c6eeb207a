"""The page about decoding: the dial between the models, branches, sharpened texts, votes."""

from collections.abc import Callable, Sequence
from typing import Any

from elicit.elicitation import (
    BudgetForced,
    CotDecoding,
    DialCurve,
    PowerSample,
    Votes,
)
from elicit.elicitation.decoding.figures import (
    budget_figure,
    cot_figure,
    dial_figure,
    power_figure,
    votes_figure,
)
from elicit.page import Section, plot, table_of
from elicit.page.mechanisms.text import percent
from elicit.results import Result, number


def decoding_sections(results: Sequence[Result]) -> list[Section]:
    """A section on every curve of the dial, then on every other way of decoding."""

    def of(kind: type, section: Callable[[Any, int], Section]) -> list[Section]:
        own = [one for one in results if isinstance(one, kind)]
        return [section(one, n) for n, one in enumerate(own)]

    return [
        *of(DialCurve, _dial),
        *of(CotDecoding, _branches),
        *of(PowerSample, _sharpened),
        *of(BudgetForced, _budget),
        *of(Votes, _votes),
    ]


def _dial(found: DialCurve, n: int) -> Section:
    caption = (
        "Accuracy of greedy texts from (1 − alpha) · base + alpha · post, logits token by token, "
        f"with {100 * found.level:g} % intervals simultaneous over alpha. Dotted grey: share of "
        "texts that are post’s, token for token. A jump at a small alpha says that post tips a "
        "choice that base nearly makes."
    )
    order = found.alpha.argsort().tolist()
    rows = [
        [
            f"{found.alpha[i].item():g}",
            percent(found.accuracy[i]),
            number(found.n_tokens[i].item(), digits=1),
            "–"
            if found.same_as_post[i] != found.same_as_post[i]
            else f"{100 * found.same_as_post[i].item():.0f} %",
        ]
        for i in order
    ]
    head = ("alpha", "right", "tokens", "same text as post")
    halfway = number(found.threshold, digits=2)
    lead = (
        f"Accuracy is halfway between base and post at alpha = {halfway}."
        if found.threshold == found.threshold
        else "Accuracy is halfway between base and post at none of these."
    )
    return Section(
        f"dial-{n}",
        "The dial from base to post",
        f"{lead} {len(found.problem)} problems.",
        (
            plot(f"plot-dial-{n}", dial_figure(found), caption, columns=16),
            table_of("Every point of the curve.", head, rows, 1, "Every point"),
        ),
    )


def _branches(found: CotDecoding, n: int) -> Section:
    caption = (
        "Accuracy by the number of first tokens that are branched into, greedy after them. Oracle: "
        "any branch is right. A pick below the oracle means that confidence does not find the "
        "right branch. Dashed: the target’s greedy accuracy, if there is a target."
    )
    rows = [
        [
            str(k),
            *(percent(found.accuracy[i, j]) for j in range(len(found.curve))),
            f"{found.cost(k) / len(found.problem):.0f}",
        ]
        for i, k in enumerate(found.k.tolist())
    ]
    reach = ", ".join(
        f"{name} {int(found.k50[j]) or 'none'} / {int(found.k90[j]) or 'none'}"
        for j, name in enumerate(found.curve)
    )
    lead = (
        f"Fewest branches that reach half / nine tenths of the target: {reach}. First tokens below "
        f"{100 * found.min_first:g} % of the most probable one’s probability are left out."
    )
    if found.target_rank is not None and len(found.target_rank):
        rank = found.target_rank.double().median().item()
        lead += f" The target’s own first token has rank {rank:g} for base (median)."
    head = ("k", *found.curve, "tokens a problem")
    return Section(
        f"branches-{n}",
        "CoT-decoding: other first tokens",
        lead,
        (
            plot(f"plot-branches-{n}", cot_figure(found), caption, columns=16),
            table_of("Every point of the curves.", head, rows, 1, "Every point"),
        ),
    )


def _sharpened(found: PowerSample, n: int) -> Section:
    rows = [
        [
            name,
            percent(found.accuracy[i]),
            number(found.length[:, i].mean().item(), digits=1),
        ]
        for i, name in enumerate(found.sample)
    ]
    told = (
        f"Sharpened: texts weighted towards p to the power of {found.alpha:g}. Cold: as many drawn "
        f"at temperature {1 / found.alpha:.2g}. Sharpening favours short and sure texts, so a "
        "share near 0 may be what the target says."
    )
    lead = (
        f"{found.log_weight.shape[1]} particles a problem; effective number at the end "
        f"{number(found.ess.mean().item(), digits=1)}, at the least "
        f"{number(found.least_ess.mean().item(), digits=1)}; resampled "
        f"{number(found.n_resamplings.double().mean().item(), digits=1)} times; "
        f"{number(found.n_distinct.double().mean().item(), digits=1)} different texts. Particles "
        "whose weights are alike may still have missed texts that none of them began."
    )
    return Section(
        f"sharpened-{n}",
        "Power sampling: sharpened texts",
        lead,
        (
            plot(f"plot-sharpened-{n}", power_figure(found), told, columns=16),
            table_of("Means.", ("texts", "right", "tokens"), rows, 1),
        ),
    )


def _budget(found: BudgetForced, n: int) -> Section:
    rows = [
        [
            kind,
            percent(found.accuracy[i]),
            number(found.n_thought[:, i].double().mean().item(), digits=1),
            number(found.n_tokens[:, i].double().mean().item(), digits=1),
        ]
        for i, kind in enumerate(found.text_kind)
    ]
    lead = (
        f"Thoughts were made longer {found.n_waits.double().mean().item():.2g} times a text on "
        f"average, and {100 * found.cut.double().mean().item():.0f} % were ended at their longest."
    )
    told = "Thought: tokens before its end. Texts at equal length are the fair comparison."
    return Section(
        f"budget-{n}",
        "Budget forcing: longer or shorter thoughts",
        lead,
        (
            plot(f"plot-budget-{n}", budget_figure(found), told, columns=16),
            table_of("Means.", ("texts", "right", "thought", "tokens"), rows, 1),
        ),
    )


def _votes(found: Votes, n: int) -> Section:
    caption = "Accuracy of the answer that most of the first k sampled texts give."
    passed = dict(zip(found.passed.k.tolist(), range(len(found.passed.k)), strict=True))
    rows = [
        [
            str(k),
            percent(found.accuracy[i]),
            percent(found.passed.passed[passed[k]]) if k in passed else "–",
            percent(found.passed.above[passed[k]]) if k in passed else "–",
            number(found.n_tokens[i].item(), digits=0),
        ]
        for i, k in enumerate(found.k.tolist())
    ]
    told = (
        "pass@k: any of k texts is right, which only somebody who knows the answer can use. Above "
        "guessing: less what texts reach on the answers of other problems."
    )
    head = ("k", "vote right", "pass@k", "above guessing", "tokens a problem")
    return Section(
        f"votes-{n}",
        "Majority vote",
        f"{len(found.problem)} problems.",
        (
            plot(f"plot-votes-{n}", votes_figure(found), caption, columns=16),
            table_of(told, head, rows, 1),
        ),
    )
