"""Evidence beside the mechanisms: bits, forced form, transplant, overlap, agreement of shifts."""

from collections.abc import Sequence

from elicit.elicitation import ForcedForm, SolvedOverlap, Transplant
from elicit.page import Cell, Section, Table, table_of
from elicit.page.mechanisms.text import count, percent, shares, spread
from elicit.representations import ShiftAgreement
from elicit.results import Result, number
from elicit.texts import TextBits

_LAYERS = 8
"""Most layers that a table has a column for."""


def beside_sections(results: Sequence[Result]) -> list[Section]:
    """One section on what was measured beside the mechanisms, and one for each comparison."""
    bits = [result for result in results if isinstance(result, TextBits)]
    forced = [result for result in results if isinstance(result, ForcedForm)]
    moved = [result for result in results if isinstance(result, Transplant)]
    overlaps = [result for result in results if isinstance(result, SolvedOverlap)]
    shifts = [result for result in results if isinstance(result, ShiftAgreement)]
    tables: list[Table] = [
        *(_bits(one) for one in bits),
        *(_forced(one) for one in forced),
        *(_moved(one) for one in moved),
    ]
    sections = []
    if tables:
        sections.append(
            Section(
                "beside-mechanisms",
                "Does post’s difference carry the skill?",
                "Measured without training: how much of post’s texts base lacks, whether base is "
                "right once it begins as post does, and what post minus base does to another "
                "model.",
                tuple(tables),
            )
        )
    return [
        *sections,
        *(_overlap(one, n) for n, one in enumerate(overlaps)),
        *(_agreement(one, n) for n, one in enumerate(shifts)),
    ]


def _bits(found: TextBits) -> Table:
    rows = [
        [
            part,
            spread(found.bits[i]),
            spread(found.expected[i]),
            spread(found.per_token[i], digits=2),
            percent(found.agreement[i]),
            number(found.n_tokens[i].item(), digits=1),
        ]
        for i, part in enumerate(found.part)
    ]
    cut = f" {100 * found.truncated:.0f} % of texts were cut." if found.truncated else ""
    told = (
        "Bits of post’s own texts that base lacks, KL(post‖base): about 2 to the power of so many "
        "of base’s texts hold one of post’s. By the written tokens, and by whole predictions along "
        "them. Bits measure change, not gain: a pair can lie far apart though nothing was gained."
        f"{cut}"
    )
    head = (
        "part of the text", "bits a text", "of whole predictions", "bits a token",
        "same first choice", "tokens",
    )  # fmt: skip
    return table_of(told, head, rows, 1)


def _forced(found: ForcedForm) -> Table:
    rows = [
        [
            name,
            percent(found.accuracy[i]),
            shares(found.share) if 0 < i < len(found.text) - 1 else "–",
        ]
        for i, name in enumerate(found.text)
    ]
    first = "token" if found.n_first == 1 else f"{found.n_first} tokens"
    used = sorted({text for text in found.opener if text})
    begun = ", ".join(f"“{text}”" for text in used[:3]) + (" …" if len(used) > 3 else "")
    told = (
        f"Base made to begin with post’s first {first}"
        f"{f' ({begun})' if used else ''}: what is right then, base can do once it is in the form."
    )
    if found.no_share:
        told += f" No share: {found.no_share}"
    return table_of(told, ("text", "right", "share of the gap"), rows, 1)


def _moved(found: Transplant) -> Table:
    rows = [
        [name, percent(found.accuracy[i]), shares(found.share) if i == 1 else "–"]
        for i, name in enumerate(found.model)
    ]
    told = (
        f"Post minus base ({found.what}) added to {found.host}. A difference that elicits is a "
        "switch and does nothing on a host without the skill; one that created the skill carries "
        "it along. Only a positive result counts: a host may be sure of other answers."
    )
    if found.no_share:
        told += f" No share: {found.no_share}"
    return table_of(told, ("model", "right", "share of the gap"), rows, 1)


def _overlap(found: SolvedOverlap, n: int) -> Section:
    """Whether mechanisms solve the same problems."""
    rows = []
    for i, name in enumerate(found.mechanism):
        for j in range(i + 1, len(found.other)):
            p = found.p[i, j].item()
            rows.append(
                [
                    name,
                    found.other[j],
                    f"{int(found.n_solved[i])} and {int(found.n_solved[j])}",
                    str(int(found.shared[i, j])),
                    number(found.expected[i, j].item(), digits=1),
                    Cell(number(p), p < 0.05),
                    number(found.decidable[i, j].item()),
                ]
            )
    told = (
        "Expected: under the null, each mechanism solves as many problems of each difficulty as it "
        "does, but any of them. p: of sharing at least as many, Holm-adjusted over all pairs. "
        "Smallest possible: unadjusted; where it is large, no overlap could have been seen."
    )
    head = ("mechanism", "and", "solved", "both", "expected", "p", "smallest possible")
    return Section(
        f"overlap-{n}",
        "Do mechanisms solve the same problems?",
        f"Of {found.n_failed} problems that base does not solve, those that each newly solves, in "
        f"{found.n_strata} difficulties.",
        (table_of(told, head, rows, 2),),
    )


def _agreement(found: ShiftAgreement, n: int) -> Section:
    """How alike the mean shifts of activations are, by layer."""
    shown = _spread_evenly(len(found.layer), _LAYERS)
    rows = [
        [
            name,
            found.other[j],
            *(spread(found.cosine[i, j, k], digits=2) for k in shown),
        ]
        for i, name in enumerate(found.mechanism)
        for j in range(i + 1, len(found.other))
    ]
    reliable = [
        [name, *(number(found.reliability[i, k].item(), digits=2) for k in shown)]
        for i, name in enumerate(found.mechanism)
    ]
    layers = [
        f"layer {layer}" if layer >= 0 else "embedding" for layer in found.layer[shown].tolist()
    ]
    told = (
        "Cosine of the mean shifts from base. No verdict depends on it: measured on pairs of known "
        "truth, shifts can agree where no gap is closed and differ where all of it is."
    )
    return Section(
        f"agreement-{n}",
        "Do mechanisms move activations alike?",
        f"{found.where}, {count(float(found.n_problems))} problems.",
        (
            table_of(told, ("mechanism", "and", *layers), rows, 2, "The cosines"),
            table_of(
                "Cosine between the shifts of two halves of the problems: where it is low, no "
                "agreement could be seen.",
                ("mechanism", *layers),
                reliable,
                1,
                "Reliability",
            ),
        ),
    )


def _spread_evenly(n: int, most: int) -> list[int]:
    """At most so many of n places, the first and the last among them."""
    if n <= most:
        return list(range(n))
    return [round(i * (n - 1) / (most - 1)) for i in range(most)]
