"""The page about steering: what was judged, the curves it was chosen by, every control."""

from collections.abc import Sequence

from elicit.directions import DirectionSet
from elicit.directions.figures import set_figure
from elicit.elicitation import DoseCurve, SteeredTexts
from elicit.elicitation.asking import UNSTEERED
from elicit.elicitation.figures import arms_figure, dose_figure
from elicit.page import Plot, Section, Table, plot, table_of
from elicit.page.elicitation.text import gap_text, percent, share, where_text
from elicit.results import Result
from elicit.results.drawing import number

_ENDS = ("", "_low", "_high")


def steer_sections(results: Sequence[Result]) -> list[Section]:
    """Sections on every curve: those judged on problems of their own first.

    Args:
        results: Results of any kind.
    """
    curves = [result for result in results if isinstance(result, DoseCurve)]
    tested = [curve for curve in curves if curve.n_choose]
    swept = [curve for curve in curves if not curve.n_choose]
    texts = [result for result in results if isinstance(result, SteeredTexts)]
    sets = [result for result in results if isinstance(result, DirectionSet)]
    return [
        *(_tested(curve, n) for n, curve in enumerate(tested)),
        *(_texts(one, n) for n, one in enumerate(texts)),
        *(_swept(curve, n, bool(tested)) for n, curve in enumerate(swept)),
        *(_found(one, n) for n, one in enumerate(sets)),
    ]


def _tested(found: DoseCurve, n: int) -> Section:
    """Every arm at the chosen strength."""
    items: list[Plot | Table] = []
    for row in _rows(found):
        metric = found.metric[row]
        caption = (
            f"Share of texts ({_what(metric)}) with its {100 * found.level:g} % interval, each "
            "alone. Blue: what is under test. Open grey: controls, which push as far at every "
            "token another way. Orange, if there is one: a plainer way to the same end, and no "
            "control. Black: left alone, or asked in other words. Dotted: unsteered, and the "
            "target."
        )
        items.append(plot(f"plot-arms-{n}-{row}", arms_figure(found, metric), caption, columns=24))
    items.append(_table(found))
    lead = (
        f"Strength {found.strength[0].item():g} was chosen on {found.n_choose} other problems; "
        f"these are {found.n_problems} on which nothing was chosen. "
    )
    refused = " ".join(text for row in range(len(found.metric)) if (text := gap_text(found, row)))
    return Section(f"steered-{n}", "What it does on other problems", lead + refused, tuple(items))


def _texts(found: SteeredTexts, n: int) -> Section:
    """What was written, to be read."""
    rows = [
        [
            found.prompt[i],
            found.answer[i],
            *(
                f"{_MARKS[bool(found.correct[w, i])]} {found.text[w][i]}"
                for w in range(len(found.writer))
            ),
        ]
        for i in range(len(found.problem))
    ]
    told = (
        "The first of these problems, and what is written to them greedily: ✓ right, ✗ wrong. "
        "Text is shown as written; characters that cannot be seen appear as their escapes."
    )
    return Section(
        f"texts-{n}",
        "What it writes",
        f"Every arm at strength {found.strength:g}; the control is the strongest one.",
        (table_of(told, ("prompt", "answer", *found.writer), rows, 2 + len(found.writer)),),
    )


_MARKS = {True: "✓", False: "✗"}


def _swept(found: DoseCurve, n: int, tested: bool) -> Section:
    """Rates and coherence over strengths."""
    items: list[Plot | Table] = []
    for row in _rows(found):
        caption = (
            "Above: rate over strength, bars are intervals of each point alone; level lines are "
            "what is not steered. Below: mean log-probability of a token of the steered text "
            "under the unsteered model, where a steep fall says that texts fall apart; its bars "
            "hold jointly. A control that rises too says that any push of that size would do."
        )
        items.append(
            plot(
                f"plot-dose-{n}-{row}",
                dose_figure(found, found.metric[row]),
                caption,
                columns=24,
                folded="" if row == _rows(found)[0] else f"The same for: {found.metric[row]}",
            )
        )
    items.append(_doses(found))
    lead = f"{found.n_problems} problems, {where_text(found.where)} at {found.site}. "
    lead += (
        "The strength was chosen here, so nothing is claimed from these numbers."
        if tested
        else "The best of several strengths is chosen by them: judge it on other problems."
    )
    return Section(f"dose-{n}", "Dose curves", lead, tuple(items))


def _found(found: DirectionSet, n: int) -> Section:
    """How far directions can be trusted, place by place."""
    caption = (
        "Blue: chance that a held-out prompt that calls for it lies further along the direction "
        "than one that does not; 0.5 is chance. Orange: cosine between the directions of two "
        "halves of the problems. Both may be 1 where the direction does nothing: only steering "
        "says that."
    )
    return Section(
        f"directions-{n}",
        "Where the direction was found",
        f"One direction a place, from {found.n_pairs} pairs of prompts.",
        (plot(f"plot-directions-{n}", set_figure(found), caption, columns=len(found)),),
    )


def _rows(found: DoseCurve) -> list[int]:
    """Metrics, the one that the strength was chosen by first."""
    first = found.metric_row(found.chosen_by or None)
    return [first, *(row for row in range(len(found.metric)) if row != first)]


def _what(metric: str) -> str:
    return "right answers" if metric == "accuracy" else metric


def _table(found: DoseCurve) -> Table:
    """Every arm and reference in one row."""
    rows = []
    for name, kind, place, field in (
        *((name, found.kind[i], (i, 0), "") for i, name in enumerate(found.arm)),
        *((name, _role(name), (i,), "reference_") for i, name in enumerate(found.reference)),
    ):
        cells = [name, kind]
        for row in range(len(found.metric)):
            rate, part = (
                [getattr(found, f"{field}{what}{end}")[row, *place].item() for end in _ENDS]
                for what in ("rate", "share")
            )
            cells += [percent(*rate), share(*part) if part[0] == part[0] else "–"]
        if field:
            own = found.unsteered_log_prob if name == UNSTEERED else float("nan")
            cells += [number(own, digits=2), "–", "–"]
        else:
            ends = [getattr(found, f"log_prob{end}")[place].item() for end in _ENDS]
            cells += [
                share(*ends),
                percent(found.truncated[place].item()),
                number(found.n_tokens[place].item(), digits=1),
            ]
        rows.append(cells)
    heads = [f"{what}: {_what(metric)}" for metric in found.metric for what in ("rate", "share")]
    told = (
        "Share: of the gap between the model and its target, 0 none, 1 all, never clipped "
        "(Fieller’s interval); a dash: there is no clear gap. Log-prob: of a token of the text "
        "under the unsteered model, nats. Cut: texts that had not ended."
    )
    return table_of(told, ("arm", "part", *heads, "log-prob", "cut", "tokens"), rows, 2)


def _doses(found: DoseCurve) -> Table:
    """Every point of the curves."""
    rows = [
        [
            name,
            f"{dose:g}",
            *(
                percent(*(getattr(found, f"rate{end}")[row, i, j].item() for end in _ENDS))
                for row in range(len(found.metric))
            ),
            share(*(getattr(found, f"log_prob{end}")[i, j].item() for end in _ENDS)),
            percent(found.truncated[i, j].item()),
        ]
        for i, name in enumerate(found.arm)
        for j, dose in enumerate(found.strength.tolist())
    ]
    heads = [f"rate: {_what(metric)}" for metric in found.metric]
    return table_of(
        "Every point of the curves.",
        ("arm", "strength", *heads, "log-prob", "cut"),
        rows,
        1,
        "Every point",
    )


def _role(name: str) -> str:
    """What a reference is."""
    return {"unsteered": "plain", "target": "plain"}.get(name, "prompt")
