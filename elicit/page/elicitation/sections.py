"""The page about steering: held-out results, dose curves, every control."""

from collections.abc import Sequence

from elicit.directions import DirectionSet
from elicit.directions.figures import set_figure
from elicit.elicitation import UNSTEERED, DoseCurve, SteeredTexts
from elicit.elicitation.figures import arms_figure, dose_figure
from elicit.page import Plot, Section, Table, plot, table_of
from elicit.page.elicitation.text import gap_text, percent, share
from elicit.results import Estimate, Result, number


def steer_sections(results: Sequence[Result]) -> list[Section]:
    """Sections on every curve: those evaluated on held-out problems first."""
    curves = [result for result in results if isinstance(result, DoseCurve)]
    tested = [curve for curve in curves if curve.n_choose]
    swept = [curve for curve in curves if not curve.n_choose]
    texts = [result for result in results if isinstance(result, SteeredTexts)]
    sets = [result for result in results if isinstance(result, DirectionSet)]
    return [
        *(_tested(curve, n) for n, curve in enumerate(tested)),
        *(_texts(one, n) for n, one in enumerate(texts)),
        *(_swept(curve, n, bool(tested)) for n, curve in enumerate(swept)),
        *(_found(one, n, among=sets) for n, one in enumerate(sets)),
    ]


def _tested(found: DoseCurve, n: int) -> Section:
    """Every arm at the chosen strength."""
    items: list[Plot | Table] = []
    for place, (row, *same) in enumerate(_alike(found)):
        metric = found.metric[row]
        names = " and, with the same values, ".join(_what(found.metric[i]) for i in (row, *same))
        caption = (
            f"Share of texts ({names}) with pointwise {100 * found.level:g} % intervals. "
            "Blue: the tested arm. Open grey: controls, of the same norm at strength 1, each at "
            "the strength in the table. Orange, if present: a simpler intervention for comparison, "
            "not a control. Uncoloured: unsteered, or under another prompt. Dotted: "
            "unsteered, and the target."
        )
        if place:
            caption = f"The same for: {names}."
        items.append(plot(f"plot-arms-{n}-{row}", arms_figure(found, metric), caption, columns=24))
    items.append(_table(found))
    lead = (
        f"Strength {found.strength[0].item():g} was chosen on {found.n_choose} other problems; "
        f"it is evaluated on {found.n_problems} held-out problems. Every control stands there at "
        "the strength that was best for it on the others, or at this one if none had an effect. "
    )
    refused = " ".join(text for row in range(len(found.metric)) if (text := gap_text(found, row)))
    return Section(f"steered-{n}", "Effect on held-out problems", lead + refused, tuple(items))


def _texts(found: SteeredTexts, n: int) -> Section:
    """Sample texts."""
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
        "Greedy texts for the first held-out problems: ✓ right, ✗ wrong. Text is verbatim; "
        "invisible characters appear as their escapes."
    )
    return Section(
        f"texts-{n}",
        "Sample texts",
        f"The arm under test at strength {found.strength:g}, beside the strongest control at its "
        "own.",
        (table_of(told, ("prompt", "answer", *found.writer), rows, 2 + len(found.writer)),),
    )


_MARKS = {True: "✓", False: "✗"}


def _swept(found: DoseCurve, n: int, tested: bool) -> Section:
    """Rates and coherence by strength."""
    items: list[Plot | Table] = []
    for row in _rows(found):
        caption = (
            "Above: rate by strength with pointwise intervals; horizontal lines are unsteered "
            "references. Below: mean log-probability per token of the steered text under the "
            "unsteered model, with simultaneous intervals; a steep fall means that texts become "
            "incoherent. Where a control rises too, any vector of that norm has the effect."
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
    lead = f"{found.n_problems} problems, {found.steered_tokens} at {found.site}. "
    lead += (
        "The strength was chosen on these problems, so these numbers support no claim."
        if tested
        else "The best of several strengths was chosen on these problems: evaluate it on others."
    )
    return Section(f"dose-{n}", "Dose curves", lead, tuple(items))


def _found(found: DirectionSet, n: int, *, among: Sequence[DirectionSet]) -> Section:
    """Reliability of the directions by site; the title says whose where there are several."""
    of = ""
    if len(among) > 1:
        same = len({one.how for one in among}) < len(among)
        of = f": {found.how}" + (f", set {n + 1}" if same else "")
    caption = (
        "Blue: AUROC of the projection of held-out prompts on the direction, eliciting against "
        "contrasting prompts; 0.5 is chance. Orange: cosine between the directions from two "
        "halves of the problems. Both may be 1 where the direction has no effect: only steering "
        "tests that."
    )
    return Section(
        f"directions-{n}",
        f"Reliability of the direction by site{of}",
        f"One direction per site, from {found.n_pairs} pairs of prompts.",
        (plot(f"plot-directions-{n}", set_figure(found), caption, columns=len(found)),),
    )


def _rows(found: DoseCurve) -> list[int]:
    """Metric indices, the criterion for the strength first."""
    first = found.metric_row(found.chosen_by or None)
    return [first, *(row for row in range(len(found.metric)) if row != first)]


def _alike(found: DoseCurve) -> list[list[int]]:
    """Metrics by what is drawn of them: those with the very same rates share a figure."""
    groups: dict[bytes, list[int]] = {}
    for row in _rows(found):
        drawn = (found.rate[row], found.reference_rate[row])
        ends = (end for each in drawn for end in (each.value, each.low, each.high))
        key = b"".join(end.contiguous().numpy().tobytes() for end in ends)
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _what(metric: str) -> str:
    return "right answers" if metric == "accuracy" else metric


def _table(found: DoseCurve) -> Table:
    """Every arm and reference, one per row."""
    rows = []
    for i, name in enumerate(found.arm):
        rows.append(
            [
                name,
                found.kind[i],
                f"{found.dose(i):g}",
                *_cells(found.rate[:, i, 0], found.share[:, i, 0]),
                percent(*found.coherent[i, 0].ends),
                share(*found.log_prob[i, 0].ends),
                percent(found.truncated[i, 0].item()),
                number(found.n_tokens[i, 0].item(), digits=1),
            ]
        )
    for i, name in enumerate(found.reference):
        alone = name == UNSTEERED
        rows.append(
            [
                name,
                _role(name),
                "–",
                *_cells(found.reference_rate[:, i], found.reference_share[:, i]),
                percent(found.unsteered_coherent) if alone else "–",
                number(found.unsteered_log_prob, digits=2) if alone else "–",
                "–",
                "–",
            ]
        )
    heads = [f"{what}: {_what(metric)}" for metric in found.metric for what in ("rate", "share")]
    told = (
        "Share: of the gap between the model and its target, 0 none, 1 all, never clipped "
        "(Fieller’s interval); a dash: the gap is not clear. Coherent: texts that do not loop and "
        "that an unsteered model finds about as probable as its own. Log-prob: per token of the "
        "text under the unsteered model, nats. Cut: texts that reached the length limit."
    )
    head = ("arm", "part", "strength", *heads, "coherent", "log-prob", "cut", "tokens")
    return table_of(told, head, rows, 2)


def _cells(rate: Estimate, part: Estimate) -> list[str]:
    """Rate and gap share per metric."""
    cells = []
    for row in range(len(rate.value)):
        ends = part[row].ends
        cells += [percent(*rate[row].ends), share(*ends) if ends[0] == ends[0] else "–"]
    return cells


def _doses(found: DoseCurve) -> Table:
    """Every point of the curves."""
    rows = [
        [
            name,
            f"{dose:g}",
            *(percent(*found.rate[row, i, j].ends) for row in range(len(found.metric))),
            percent(*found.coherent[i, j].ends),
            share(*found.log_prob[i, j].ends),
            percent(found.truncated[i, j].item()),
        ]
        for i, name in enumerate(found.arm)
        for j, dose in enumerate(found.strength.tolist())
    ]
    heads = [f"rate: {_what(metric)}" for metric in found.metric]
    return table_of(
        "Every point of the curves.",
        ("arm", "strength", *heads, "coherent", "log-prob", "cut"),
        rows,
        1,
        "Every point",
    )


def _role(name: str) -> str:
    """Role of a reference."""
    return {"unsteered": "plain", "target": "plain"}.get(name, "prompt")
