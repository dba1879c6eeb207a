"""Tables of the page about features: gates, candidates, contexts, transfer."""

from collections.abc import Sequence

import torch

from elicit.features import (
    Conclusion,
    FeatureTable,
    Fidelity,
    HeldOut,
    LatentScaling,
    Regeneration,
    TokenInjection,
    Transfer,
)
from elicit.page import Cell, Table, table_of
from elicit.results import Result
from elicit.results.drawing import interval, number

_TOKENS = {"": "not tried"}


def gate_table(gates: Sequence[Fidelity]) -> Table:
    """How well the dictionary holds each model, beside what its makers say.

    Args:
        gates: Of base and post.
    """
    rows = [
        [
            gate.model,
            told(gate, "fvu", digits=3),
            told(gate, "l0", digits=1),
            number(gate.dead_fraction),
            told(gate, "ce_recovered", digits=3),
            number(gate.ce),
            str(gate.n_tokens),
        ]
        for gate in gates
    ]
    said = gates[0]
    published = (said.published_fvu, said.published_l0, said.published_dead_fraction)
    if any(value == value for value in published):
        fvu, l0, dead = published
        rows.append(
            [
                "published, or told in training",
                number(fvu),
                number(l0, digits=1),
                number(dead),
                *["–"] * 3,
            ]
        )
    head = (
        "read on", "FVU", "active features (L0)", "dead", "cross-entropy recovered",
        "cross-entropy", "tokens",
    )  # fmt: skip
    caption = (
        f"Each value with its {100 * said.level:g} % interval over {said.n_problems} problems. "
        "FVU: unexplained share of the variance about this model’s own mean, 0 perfect. Dead: "
        "features active nowhere here. Cross-entropy recovered: share of what leaving the "
        "activation out costs that the reconstruction saves, 1 all."
    )
    return table_of(caption, head, rows)


def candidate_table(
    found: Conclusion,
    held: HeldOut | None,
    injection: TokenInjection | None,
    again: Regeneration | None,
    table: FeatureTable | None,
) -> Table:
    """Every candidate with what it was held against; those that stay first.

    Args:
        found: What became of each.
        held: Candidates on other problems.
        injection: What their tokens do.
        again: Whether they come back.
        table: Their tokens and pages.
    """
    rows: list[list[str | Cell]] = []
    for place, feature in enumerate(found.feature.tolist()):
        stays = bool(found.kept[place])
        at = {
            name: result.feature.tolist().index(feature)
            for name, result in (
                ("held", held), ("injection", injection), ("again", again), ("table", table)
            )
            if result is not None and feature in result.feature.tolist()
        }  # fmt: skip
        link = table.link[at["table"]] if table is not None and "table" in at else ""
        row: list[str | Cell] = [
            Cell(str(feature), href=link),
            "✓\N{NO-BREAK SPACE}stays" if stays else "✕\N{NO-BREAK SPACE}rejected",
            # A score and the place in it stay on one line.
            found.found_by[place]
            .replace(" ", "\N{NO-BREAK SPACE}")
            .replace(",\N{NO-BREAK SPACE}", ", "),
            _TOKENS.get(found.tokens[place], found.tokens[place]),
            found.again[place] or "not tried",
        ]
        if held is not None and "held" in at:
            i = at["held"]
            row += [
                Cell(told(held, "difference", i), bool(found.holds[place])),
                told(held, "control_difference", i),
                number(held.auroc[i].item()),
            ]
        else:
            row += ["–"] * 3
        if again is not None and "again" in at:
            i = at["again"]
            row += [told(again, "again", i, 0), number(again.again[i, 1].item(), digits=2)]
        else:
            row += ["–"] * 2
        rows.append(row)
    head = (
        "feature", "verdict", "found by", "its tokens elsewhere", "written again",
        "trace minus answer", "features of like rate", "AUROC", "comes back", "by chance",
    )  # fmt: skip
    caption = (
        "Every candidate, those that stay first. Found by: the score and the place in it, on other "
        "problems. Its tokens elsewhere: token-driven, partial, weak or context-dependent. Trace "
        "minus answer: mean activation at the last token of prompts, bold where it holds. Comes "
        "back: share of continuations in which it is active again; by chance: after cuts at random "
        "places of the same texts."
    )
    return table_of(caption, head, rows, 5)


def context_table(found: FeatureTable, features: Sequence[int], *, folded: str = "") -> Table:
    """Where features are most active, in words.

    Args:
        found: Contexts.
        features: Whose.
        folded: Words of the fold, if it is to be closed at first.
    """
    rows = [
        # Named once, where its contexts begin.
        [
            "" if int(found.rank[i]) else str(feature),
            text,
            number(found.activation[i].item(), digits=2),
        ]
        for feature in features
        for i, text in enumerate(found.example)
        if int(found.of[i]) == feature
    ]
    caption = (
        "The largest activations in texts of the problems to test on, one a text; the token is "
        "between ⟦ and ⟧. Text of models and files, shown as it was read."
    )
    return table_of(caption, ("feature", "context", "activation"), rows, 2, folded)


def injection_table(found: TokenInjection) -> Table:
    """What each form does, with its control.

    Args:
        found: Falsification of candidates.
    """
    rows = [
        [
            str(int(found.feature[i])),
            found.tokens[i],
            found.verdict[i],
            number(found.transfer[i].nan_to_num(-torch.inf).max().item(), digits=2),
            *(
                f"{number(found.d[i, j].item(), digits=2)} "
                f"({number(found.control_d[i, j].item(), digits=2)})"
                for j in range(len(found.form))
            ),
        ]
        for i in range(len(found.feature))
    ]
    told_of = (
        "Largest share: of the rise by reasoning, over the forms. Then Cohen’s d of each form, and "
        "in brackets of as many tokens drawn from the texts."
    )
    head = ("feature", "tokens", "verdict", "largest share", *found.form)
    return table_of(told_of, head, rows, 3, "Every form in numbers")


def again_table(found: Regeneration) -> Table:
    """What comes back, arm by arm.

    Args:
        found: What came back.
    """
    shown = not bool(found.shown_again.isnan().all())
    rows = [
        [
            str(int(found.feature[i])),
            found.verdict[i],
            *(told(found, "again", i, j) for j in range(3)),
            *(number(found.token_again[i, j].item(), digits=2) for j in range(2)),
            *(number(found.shown_again[i, j].item(), digits=2) for j in range(2 if shown else 0)),
            str(int(found.n_problems[i])),
        ]
        for i in range(len(found.feature))
    ]
    head = [
        "feature", "verdict", *found.arm, "its token again", "random: token again",
        *(["behaviour again", "random: behaviour"] if shown else []), "problems",
    ]  # fmt: skip
    caption = (
        "Share of continuations in which the feature is active again, with intervals over "
        "problems; whether the token that was cut off is written again, and whether the behaviour "
        "is shown."
    )
    return table_of(caption, head, rows, 2, "Every rate in numbers")


def transfer_table(found: Transfer) -> Table:
    """Every reading of the other model.

    Args:
        found: Transfer of the dictionary.
    """
    rows = [
        [
            f"{found.own}" if name == "own" else name.replace("other", found.other),
            told(found, "fvu", i, digits=3),
            told(found, "delta_fvu", i, digits=3, sign=True) if i else "–",
            told(found, "ce_recovered", i, digits=3),
            number(found.l0_ratio[i].item(), digits=2),
            number(found.dead_fraction[i].item()),
            number(found.correlation[:, i].nanmedian().item()) if i else "–",
        ]
        for i, name in enumerate(found.reading)
    ]
    head = (
        "read on", "FVU", "more than own", "cross-entropy recovered", "L0 ratio", "dead",
        "median correlation",
    )  # fmt: skip
    caption = (
        f"Mean and rotation were fitted to {found.n_fit_tokens} tokens of other problems. Median "
        "correlation: of each feature’s activations with those on the own model, at the same "
        "tokens."
    )
    return table_of(caption, head, rows)


def scaling_table(found: LatentScaling, features: Sequence[int]) -> Table:
    """How strongly candidates stand in base as a share of how strongly in post.

    Args:
        found: Latent scaling.
        features: Candidates.
    """
    rows = [
        [str(f), *(number(found.ratio[f, j].item(), digits=2) for j in range(len(found.target)))]
        for f in features
    ]
    caption = (
        "Strength of each candidate in base as a share of that in post (latent scaling): 1 alike, "
        "0 in post alone. In the activation, in what the features say of it, and in what is left."
    )
    head = ("feature", *found.target)
    return table_of(caption, head, rows, 1, "Strength of candidates in both models")


def told(found: Result, name: str, *cell: int, digits: int = 2, sign: bool = False) -> str:
    """A value with its ends, by its name.

    Args:
        found: Any result.
        name: Name of the value.
        cell: Place in it; none for a single number.
        digits: Decimals.
        sign: Whether a plus is written.
    """
    values = [getattr(found, f"{name}{end}") for end in ("", "_low", "_high")]
    value, low, high = (float(value[cell]) if cell else float(value) for value in values)
    if value == low == high == 0:
        return "0"
    text = interval(value, low, high, digits=digits)
    return text if sign else text.removeprefix("+")
