"""The page about guided hybrids: the gates, what each touched, and where the models differ."""

from collections.abc import Sequence

from elicit.elicitation import Disagreements, Hybrid
from elicit.elicitation.hybrid.figures import hybrid_figure
from elicit.page import Section, plot, table_of
from elicit.page.mechanisms.text import percent, shares
from elicit.results import Result, number

_LISTED = 12
"""Pairs of tokens that are listed."""


def hybrid_sections(results: Sequence[Result]) -> list[Section]:
    """A section on every hybrid, and on every list of disagreements."""
    hybrids = [result for result in results if isinstance(result, Hybrid)]
    listed = [result for result in results if isinstance(result, Disagreements)]
    return [
        *(_hybrid(one, n) for n, one in enumerate(hybrids)),
        *(_differ(one, n) for n, one in enumerate(listed)),
    ]


def _hybrid(found: Hybrid, n: int) -> Section:
    caption = (
        "Above: accuracy by gate at the coefficient c that is best for it on other problems. "
        "Blue: the fitted vector where a switch fires. Orange: another way to the same end. Open "
        "grey: controls. Below: share of a text’s tokens that were decided after a push, or that "
        "post picked against base."
    )
    rows = [
        [
            name,
            found.kind[i],
            "yes" if bool(found.reads_post[i]) else "no",
            number(found.dose[i].item(), digits=2) if found.dose[i] == found.dose[i] else "–",
            percent(found.accuracy[i]),
            shares(found.share[i]),
            percent(found.touched[i]),
            percent(found.changed[i]),
            percent(found.traces[i]),
        ]
        for i, name in enumerate(found.arm)
    ]
    rows += [
        [name, "–", "–", "–", percent(found.alone_accuracy[i]), "–", "–", "–",
         percent(found.alone_traces[i])]
        for i, name in enumerate(found.alone)
    ]  # fmt: skip
    head = (
        "gate", "part", "reads post", "c", "right", "share of the gap", "touched", "changed",
        "shows it",
    )  # fmt: skip
    told = (
        "Reads post: whether post is there while the text is written. Changed: tokens that are not "
        f"what base would have written. Rerank: post picks among base’s {found.rerank} most "
        "probable tokens and no vector is added: what a hybrid with a guardrail is to be held "
        "against."
    )
    doses = [f"c = {c:g}" for c in found.coefficient.tolist()]
    tried = [
        [name, *("–" if v != v else f"{100 * v:.0f} %" for v in found.choose_accuracy[i].tolist())]
        for i, name in enumerate(found.arm)
    ]
    guard = "Post picks at every pushed token between it and base’s own (guardrail)."
    plain = "Post picks no token (no guardrail)."
    at = [number(value, digits=3) for value in found.switch_at.tolist()]
    lead = (
        f"Base writes, and where a switch fires a vector {number(found.relative_norm, digits=2)} "
        f"times as long as the states is added at that token alone. "
        f"{guard if found.guardrail else plain} Base and post differ at "
        f"{shares(found.per_text)} tokens a text; there the learned switch has a mean probability "
        f"of {at[0]}, elsewhere {at[1]} (AUROC {number(found.switch_auroc, digits=3)})."
    )
    return Section(
        f"hybrid-{n}",
        "Guided hybrid: a vector at few tokens",
        lead,
        (
            plot(f"plot-hybrid-{n}", hybrid_figure(found), caption, columns=22),
            table_of(told, head, rows, 2),
            table_of(
                f"Accuracy by coefficient on the {found.n_choose} problems to choose on: these "
                "numbers support no claim.",
                ("gate", *doses),
                tried,
                1,
                "Every coefficient",
            ),
        ),
    )


def _differ(found: Disagreements, n: int) -> Section:
    """Which tokens differ most often."""
    pairs: dict[tuple[str, str], int] = {}
    for pair in zip(found.base_text, found.post_text, strict=True):
        pairs[pair] = pairs.get(pair, 0) + 1
    most = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:_LISTED]
    rows = [[base, post, str(times)] for (base, post), times in most]
    first = int((found.at == 0).sum())
    return Section(
        f"disagreements-{n}",
        "Where base and post would write different tokens",
        f"{shares(found.per_text)} tokens a text of {found.writer}, "
        f"{percent(found.share)} of its tokens; {first} of {len(found.at)} are the first token.",
        (table_of("The most frequent ones.", ("base", "post", "times"), rows, 2),),
    )
