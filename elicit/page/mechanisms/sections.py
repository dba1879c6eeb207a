"""The page about mechanisms: the verdict, every arm on one axis, what each cost, and texts."""

import math
from collections.abc import Sequence

from elicit.elicitation import SEES, DialCurve, Mechanism
from elicit.elicitation.figures import bits_figure, shares_figure
from elicit.page import Cell, Plot, Section, Table, plot, table_of
from elicit.page.mechanisms.beside import beside_sections
from elicit.page.mechanisms.decoding import decoding_sections
from elicit.page.mechanisms.hybrid import hybrid_sections
from elicit.page.mechanisms.text import SUPERVISION, count, shares, would_change
from elicit.page.mechanisms.training import training_sections
from elicit.results import Estimate, Result, number
from elicit.verdicts import Origin

_PROBLEMS = 3
"""Problems whose texts are shown under every mechanism."""
_LONGEST = 700
"""Characters of a text that are shown."""


def mechanism_sections(results: Sequence[Result]) -> list[Section]:
    """Sections in page order: verdict, mechanisms, cost, evidence, single mechanisms, texts."""
    verdicts = [result for result in results if isinstance(result, Origin)]
    tried = ordered([result for result in results if isinstance(result, Mechanism)])
    return [
        *(_verdict(one, n) for n, one in enumerate(verdicts)),
        *([_shares(tried), _cost(tried)] if tried else []),
        *beside_sections(results),
        *decoding_sections(results),
        *hybrid_sections(results),
        *training_sections(results),
        *([_texts(tried, results)] if tried else []),
    ]


def ordered(found: Sequence[Mechanism]) -> list[Mechanism]:
    """Least supervision first, each control after what it controls where names say so."""
    return sorted(found, key=lambda one: (SEES.index(one.sees), one.control, one.bits, one.name))


def _verdict(found: Origin, n: int) -> Section:
    """The verdict, its parts, and what would change it."""
    parts: list[tuple[str, str | Cell, str]] = [
        (
            "gap in accuracy, post − base",
            _bold(found.gap),
            "interval excludes 0, lower end at least 0.1",
        ),
        (
            f"best arm that sees at most the answers: {found.best or 'none'}",
            _bold(found.best_share),
            "elicited: lower end above 0.5",
        ),
        (
            "texts showing the behaviour, best arm − post",
            shares(found.route_shown),
            "same route: within ± 0.3",
        ),
        (
            "texts right with steps that hold, best arm − post",
            shares(found.route_verified),
            "same route: within ± 0.3",
        ),
        (
            "largest upper end over all arms",
            _largest(found),
            "not elicited: below 0.5, for all at once",
        ),
        (
            "base begins as post does",
            shares(found.forced_share),
            "not elicited: upper end below 0.5",
        ),
        (
            f"post − base on another host{f' ({found.carried_on})' if found.carried_on else ''}",
            shares(found.carried),
            "created: lower end above 0.5; only a positive result counts",
        ),
        (
            "bits to learn right texts, over those where the skill is there",
            number(found.learning_ratio, digits=1) if _known(found.learning_ratio) else "–",
            "created: 10 or more",
        ),
        *(
            (f"bits of post’s texts that base lacks, {part}", shares(found.text_bits[i]), "shown")
            for i, part in enumerate(found.text_part)
        ),
    ]
    table = table_of(
        "Every part of the verdict with its interval, and the border at which it decides. A dash: "
        "not measured, or not defined.",
        ("part", "border", "value"),
        [[what, border, value] for what, value, border in parts],
        2,
    )
    change = table_of(
        "What would change the verdict.",
        ("", "what would have to be seen"),
        [[str(i + 1), text] for i, text in enumerate(would_change(found))],
        2,
    )
    items: list[Plot | Table] = [table, change]
    if found.known_pair:
        rows = [
            [
                name,
                found.known_truth[i],
                found.known_verdict[i],
                "as it should be" if bool(found.known_passed[i]) else "wrong",
                shares(found.known_share[i]),
            ]
            for i, name in enumerate(found.known_pair)
        ]
        told = "The same arms with the same limits on pairs whose truth is known."
        head = ("pair", "truth", "verdict", "", "share of the best arm")
        items.append(table_of(told, head, rows, 4))
    return Section(
        f"origin-{n}",
        f"Elicited or created: {found.words}",
        f"The verdict on {found.pair}, by a rule that was fixed before, from "
        f"{found.n_problems} held-out problems; the best arm and every setting were chosen on "
        f"{found.n_choose} others.",
        tuple(items),
    )


def _shares(tried: Sequence[Mechanism]) -> Section:
    """All arms on one axis, and one a row."""
    items: list[Plot | Table] = []
    with_share = [one for one in tried if _known(one.share.value.item())]
    if with_share:
        caption = (
            "Share of the gap from base to post that each mechanism closes, over the bits of "
            "its supervision, at most (mechanisms with about as many stand side by side). Colour "
            "and mark: kind of supervision. Open grey: controls. 0 is base, 1 post; bars are 95 % "
            "intervals of each share alone. Shares beyond −1 and 2 are drawn at the edge."
        )
        items.append(plot("plot-mechanisms-bits", bits_figure(tried), caption, columns=22))
        caption = (
            "The same, one mechanism a row. Filled: greedy texts, mean over seeds. Small grey, "
            "below: texts at temperature 1. Greedy accuracy is a threshold: a mechanism that tips "
            "a choice which base nearly makes reads 1 there and less at temperature 1."
        )
        items.append(plot("plot-mechanisms-rows", shares_figure(tried), caption, columns=22))
    rows = [
        [
            one.name,
            f"{one.sees}{', control' if one.control else ''}",
            Cell(shares(one.share), bool(one.share.low.item() > 0)),
            _seeds(one),
            shares(one.share_sampled),
            _rate(one.right.mean().item()),
            _rate(one.right_sampled.mean().item()),
            _rate(one.verified.mean().item()),
            _rate(one.lenient.mean().item()),
            _rate(one.shown.mean().item()),
        ]
        for one in tried
    ]
    head = (
        "mechanism", "supervision", "share of the gap", "by seed", "share, T = 1", "right",
        "right, T = 1", "verified", "last number right", "shows it",
    )  # fmt: skip
    told = (
        "Bold: the interval of the share excludes 0. By seed: smallest and largest share over runs "
        "of what is trained. Verified: right with steps that hold. Last number right: whatever the "
        "text announces. Shows it: texts that show the behaviour."
    )
    items.append(table_of(told, head, rows, 2))
    reasons = list(dict.fromkeys(one.no_share for one in tried if one.no_share))
    base, post = tried[0].base.mean().item(), tried[0].post.mean().item()
    lead = (
        f"Base is right on {_rate(base)} and post on {_rate(post)} of {len(tried[0].problem)} "
        "held-out problems. Every mechanism has the setting that was best on other problems; so "
        "has every control."
    )
    if reasons:
        lead += f" No share is reported: {reasons[0]}"
    return Section("mechanisms", "What elicits it from base?", lead, tuple(items))


def _cost(tried: Sequence[Mechanism]) -> Section:
    """Supervision of each mechanism, and what it cost."""
    rows = [
        [
            one.name,
            SUPERVISION[one.sees],
            count(one.bits),
            str(one.n_trained) if one.n_trained < 10_000 else count(float(one.n_trained)),
            count(float(one.n_tokens)),
            count(one.flops),
            str(len(one.seed)),
        ]
        for one in tried
    ]
    head = ("mechanism", "supervision", "bits", "parameters", "tokens", "operations", "runs")
    told = (
        "Bits: upper bound on the information about the task that it used (none by decoding; words "
        "of a prompt; the probability of a forced beginning; the entropy of rewards; the code "
        "length of texts before each update; 16 for each number fitted on post). Tokens: written "
        "or read to fit and to choose. Operations: 2 for each parameter and token, 6 where "
        "gradients were taken."
    )
    settings = [[one.name, one.setting, "; ".join(one.rejected) or "–"] for one in tried]
    return Section(
        "mechanisms-cost",
        "Supervision and cost",
        "A mechanism with much supervision may teach what it seems to bring out. The fewer bits it "
        "uses, the more its share says of base.",
        (
            table_of(told, head, rows, 2),
            table_of(
                "The setting that was chosen, and those that were not with their accuracy on the "
                "problems to choose on.",
                ("mechanism", "setting", "rejected"),
                settings,
                3,
                "Settings",
            ),
        ),
    )


def _texts(tried: Sequence[Mechanism], results: Sequence[Result]) -> Section:
    """The same problems under every mechanism."""
    tables = []
    for place, problem in enumerate(tried[0].problem[:_PROBLEMS]):
        rows = _alone(results, problem)
        rows += [
            [one.name, _MARKS[bool(one.right[place, 0] == 1)], clipped(one.text[place])]
            for one in tried
            if place < len(one.text)
        ]
        told = f"Greedy texts to problem {problem}: ✓ right, ✗ wrong. Text is verbatim."
        folded = "" if not place else f"Problem {problem}"
        tables.append(table_of(told, ("mechanism", "", "text"), rows, 3, folded))
    return Section(
        "mechanisms-texts",
        "Texts side by side",
        "The same held-out problems under every mechanism, the first run of what is trained.",
        tuple(tables),
    )


_MARKS = {True: "✓", False: "✗"}


def _alone(results: Sequence[Result], problem: str) -> list[list[str]]:
    """What base and post write themselves, where a dial has it at its ends."""
    dials = [one for one in results if isinstance(one, DialCurve) and problem in one.problem]
    rows = []
    for name, end in (("base", 0.0), ("post", 1.0)):
        for found in dials[:1]:
            if end in found.alpha.tolist():
                at, place = found.alpha.tolist().index(end), found.problem.index(problem)
                text = found.text[at * len(found.problem) + place]
                rows.append([name, _MARKS[bool(found.right[place, at] == 1)], clipped(text)])
    return rows


def clipped(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _seeds(one: Mechanism) -> str:
    """Smallest and largest share over seeds."""
    values = one.share_by_seed.value
    if len(values) < 2 or bool(values.isnan().any()):
        return "–"
    return f"{values.min().item():.2f} to {values.max().item():.2f}".replace("-", "−")


def _rate(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def _bold(estimate: Estimate) -> Cell:
    low = estimate.low.item()
    return Cell(shares(estimate), low > 0)


def _largest(found: Origin) -> str:
    """The largest upper end of all arms but those that read post's weights, and whose it is."""
    ends = [
        (found.joint.high[i].item(), name)
        for i, name in enumerate(found.arm)
        if found.sees[i] != "post weights" and _known(found.joint.high[i].item())
    ]
    if not ends:
        return "–"
    high, name = max(ends)
    return f"{high:.2f} ({name})".replace("-", "−")


def _known(value: float) -> bool:
    return not math.isnan(value)
