"""Tables of the features page: fidelity, candidates, contexts, tests, transfer."""

from collections.abc import Sequence

import torch

from elicit.features import (
    Conclusion,
    FeatureTable,
    Fidelity,
    HeldOut,
    LatentScaling,
    ResamplingStability,
    TokenInjection,
    Transfer,
)
from elicit.page import Cell, Column, Table, estimate_cell, first, result_table, table_of
from elicit.results import Result, number

_SPACE = "\N{NO-BREAK SPACE}"
_NONE = "–"


def gate_table(gates: Sequence[Fidelity]) -> Table:
    """Fidelity of the SAE on each model, beside published values."""
    rows: list[list[str | Cell]] = [
        [
            gate.model,
            estimate_cell(gate.fvu),
            estimate_cell(gate.l0, digits=1),
            number(gate.dead_fraction),
            estimate_cell(gate.ce_recovered),
            number(gate.ce),
            str(gate.n_tokens),
        ]
        for gate in gates
    ]
    one = gates[0]
    fvu, l0, dead = one.published_fvu, one.published_l0, one.published_dead_fraction
    if any(value == value for value in (fvu, l0, dead)):
        published = [number(fvu), number(l0, digits=1), number(dead)]
        rows.append(["published, or at the end of training", *published, *[_NONE] * 3])
    head = (
        "model", "FVU", "active features (L0)", "dead", "cross-entropy recovered",
        "cross-entropy", "tokens",
    )  # fmt: skip
    caption = (
        f"Each value with its {100 * one.level:g} % interval over {one.n_problems} problems. FVU: "
        "fraction of variance unexplained, about this model’s own mean; 0 is perfect. Dead: share "
        "of features never active here. Cross-entropy recovered: share of the zero-ablation loss "
        "that the reconstruction recovers; 1 is all."
    )
    return table_of(caption, head, rows)


def candidate_table(result: Conclusion, evidence: Sequence[Result]) -> Table:
    """Every candidate with its controls, survivors first."""
    features = result.feature.tolist()
    held, table = first(evidence, HeldOut), first(evidence, FeatureTable)
    resampling = first(evidence, ResamplingStability)

    def index(of: HeldOut | FeatureTable | ResamplingStability | None, i: int) -> int | None:
        known = [] if of is None else of.feature.tolist()
        return known.index(features[i]) if features[i] in known else None

    def name(i: int) -> Cell:
        at = index(table, i)
        return Cell(str(features[i]), href=table.link[at] if table and at is not None else "")

    def scores(i: int) -> str:
        # A score and the rank in it stay on one line.
        return result.found_by[i].replace(" ", _SPACE).replace(f",{_SPACE}", ", ")

    def difference(i: int) -> str | Cell:
        at = index(held, i)
        if held is None or at is None:
            return _NONE
        text = estimate_cell(held.difference[at], digits=2).text
        return Cell(text, bool(result.holds[i]))

    def control(i: int) -> str | Cell:
        at = index(held, i)
        if held is None or at is None:
            return _NONE
        return estimate_cell(held.control_difference[at], digits=2)

    def auroc(i: int) -> str:
        at = index(held, i)
        return _NONE if held is None or at is None else number(held.auroc[at].item())

    def rate(i: int) -> str | Cell:
        at = index(resampling, i)
        if resampling is None or at is None:
            return _NONE
        return estimate_cell(resampling.rate[at, 0], digits=2)

    def by_chance(i: int) -> str:
        at = index(resampling, i)
        if resampling is None or at is None:
            return _NONE
        return number(resampling.rate.value[at, 1].item(), digits=2)

    columns = [
        Column(head="feature", of=name),
        Column(
            head="verdict",
            of=lambda i: f"✓{_SPACE}kept" if result.kept[i] else f"✕{_SPACE}rejected",
        ),
        Column(head="found by", of=scores),
        Column(head="token injection", of=lambda i: result.injection[i] or "not tested"),
        Column(head="resampling", of=lambda i: result.resampling[i] or "not tested"),
        Column(head="reasoning minus answer", of=difference),
        Column(head="rate-matched features", of=control),
        Column(head="AUROC", of=auroc),
        Column(head="recurs", of=rate),
        Column(head="by chance", of=by_chance),
    ]
    caption = (
        "Every candidate, survivors first. Found by: the score and the rank in it, on the "
        "selection problems. Token injection: token-driven, partial, weak or context-dependent. "
        "Reasoning minus answer: mean activation at the last token of prompts, bold where it holds "
        "on held-out problems. Recurs: share of resampled continuations in which it is active; by "
        "chance: after cuts at random positions of the same texts."
    )
    return result_table(result, caption, columns, over="feature", words=5)


def context_table(result: FeatureTable, features: Sequence[int], *, folded: str = "") -> Table:
    """Contexts in which features are most active."""
    of = result.of.tolist()
    columns = [
        # Shown once, at its first context.
        Column(head="feature", of=lambda i: "" if int(result.rank[i]) else str(of[i])),
        Column(head="context", of="example"),
        Column(head="activation", of="activation", digits=2),
    ]
    caption = (
        "The largest activations in texts of held-out problems, one per text; the token is between "
        "⟦ and ⟧. Text of models and files, unedited."
    )
    rows = [i for feature in features for i in range(len(of)) if of[i] == feature]
    return result_table(result, caption, columns, over="example", rows=rows, words=2, folded=folded)


def injection_table(result: TokenInjection) -> Table:
    """Effect of each injection form, with its control."""

    def effect(i: int, j: int) -> str:
        d, control = result.d[i, j].item(), result.control_d[i, j].item()
        return f"{number(d, digits=2)} ({number(control, digits=2)})"

    def largest(i: int) -> str:
        return number(result.transfer[i].nan_to_num(-torch.inf).max().item(), digits=2)

    columns = [
        Column(head="feature", of="feature"),
        Column(head="tokens", of="tokens"),
        Column(head="verdict", of="verdict"),
        Column(head="largest share", of=largest),
        *(Column(head=form, of=lambda i, j=j: effect(i, j)) for j, form in enumerate(result.form)),
    ]
    caption = (
        "Largest share: of the rise by reasoning, over the forms. Then Cohen’s d of each form, and "
        "in brackets that of as many tokens drawn from the texts."
    )
    return result_table(
        result, caption, columns, over="feature", words=3, folded="Every form in numbers"
    )


def resampling_table(result: ResamplingStability) -> Table:
    """Recurrence rates in each arm."""
    arms = list(enumerate(result.arm))
    columns = [
        Column(head="feature", of="feature"),
        Column(head="verdict", of="verdict"),
        *(Column(head=arm, of="rate", at={"arm": j}, digits=2) for j, arm in arms),
        *(
            Column(head=f"cut token recurs, {arm}", of="token_rate", at={"arm": j}, digits=2)
            for j, arm in arms[:2]
        ),
    ]
    if not bool(result.shown_rate.isnan().all()):
        columns += [
            Column(head=f"behaviour, {arm}", of="shown_rate", at={"arm": j}, digits=2)
            for j, arm in arms[:2]
        ]
    caption = (
        "Share of continuations in which the feature is active, with intervals over problems; in "
        "which the cut token is sampled again; and in which the behaviour is shown."
    )
    return result_table(
        result,
        caption,
        [*columns, Column(head="problems", of="n_problems")],
        over="feature",
        words=2,
        folded="Every rate in numbers",
    )


def transfer_table(result: Transfer) -> Table:
    """Fidelity on the other model under each map."""

    def reading(i: int) -> str:
        name = result.reading[i]
        return result.own if name == "own" else name.replace("other", result.other)

    def median(i: int) -> str:
        return number(result.correlation[:, i].nanmedian().item()) if i else _NONE

    columns = [
        Column(head="model", of=reading),
        Column(head="FVU", of="fvu"),
        Column(
            head="increase over the SAE’s model",
            of=lambda i: estimate_cell(result.delta_fvu[i], effect=True) if i else _NONE,
        ),
        Column(head="cross-entropy recovered", of="ce_recovered"),
        Column(head="L0 ratio", of="l0_ratio", digits=2),
        Column(head="dead", of="dead_fraction"),
        Column(head="median correlation", of=median),
    ]
    caption = (
        f"Mean and rotation were fitted on {result.n_fit_tokens} tokens of other problems. Median "
        "correlation: of each feature’s activations with those on the SAE’s own model, at the same "
        "tokens."
    )
    return result_table(result, caption, columns, over="reading")


def scaling_table(result: LatentScaling, features: Sequence[int]) -> Table:
    """Latent scaling of candidates: strength in base relative to post."""
    columns = [
        Column(head="feature", of="feature"),
        *(
            Column(head=t, of="ratio", at={"target": j}, digits=2)
            for j, t in enumerate(result.target)
        ),
    ]
    caption = (
        "Strength of each candidate in base relative to post (latent scaling): 1 equal, 0 post "
        "only; in the activation, in its reconstruction, and in the reconstruction error."
    )
    return result_table(
        result,
        caption,
        columns,
        over="feature",
        rows=features,
        folded="Strength of candidates in both models",
    )
