"""Tables of written thoughts: the six primaries, covariates, and every metric with its meaning."""

from elicit.page import Cell, Table, estimate_cell, table_of
from elicit.page.traces.text import level_text
from elicit.results import Estimate, number
from elicit.traces import Discrimination, Measures
from elicit.verdicts import Scorecard


def primary_table(card: Scorecard) -> Table:
    """The six primaries: both models, the paired difference, and p after Holm's correction."""
    rows = [
        [
            f"{name}{_unit(card.unit[i])}",
            *_numbers(card.value[i]),
            estimate_cell(card.difference[i], digits=2, effect=True),
            number(card.p[i].item()),
        ]
        for i, name in enumerate(card.primary)
    ]
    caption = (
        "The six primaries, fixed before any number was read; there is no combined score. "
        f"Intervals are {level_text(card)}of each number alone; p is adjusted over all six, "
        "measured or not (Holm). Bold: the interval excludes 0. A dash: not measured."
    )
    return table_of(caption, ("primary", "base", "post", "post minus base", "p (Holm)"), rows)


def meaning_table(card: Scorecard) -> Table:
    """What every primary counts, with remarks."""
    rows = [
        [name, meaning, note or "–"]
        for name, meaning, note in zip(card.primary, card.meaning, card.note, strict=True)
    ]
    return table_of("What each counts.", ("primary", "what it counts", "remark"), rows, 3)


def covariate_table(card: Scorecard) -> Table | None:
    """What stands beside the primaries and is never tested; None if nothing does."""
    if not card.covariate:
        return None
    rows = [[name, *_numbers(card.covariate_value[i])] for i, name in enumerate(card.covariate)]
    caption = (
        "Covariates: reported with the primaries so that a reader can see what else moved. "
        "They are not tested."
    )
    folded = "Covariates (not tested)"
    return table_of(caption, ("covariate (not tested)", "base", "post"), rows, 1, folded)


def measures_tables(found: Measures, order: list[int]) -> tuple[Table, Table]:
    """Every metric of a result: both models with the paired difference, and what each says.

    `order`: places of the metrics, as they are shown.
    """
    rows = [
        [
            f"{found.metric[i]}{_unit(found.unit[i])}",
            *_numbers(found.estimate[i]),
            estimate_cell(found.difference[i], digits=2, effect=True),
            number(found.p[i].item()),
            _both([number(x, digits=2) for x in found.median[i].tolist()]),
            _both([str(x) for x in found.n[i].tolist()]),
        ]
        for i in order
    ]
    caption = (
        "Means over the problems that have a value, with "
        f"{level_text(found)}intervals of each number alone; differences are paired by problem. "
        "p is of the difference and not adjusted: what is tested stands in the scorecard. Two "
        "numbers with a stroke: base / post. Bold: the interval excludes 0."
    )
    head = ("metric", "base", "post", "post minus base", "p", "median", "problems")
    said = [[found.metric[i], found.meaning[i]] for i in order]
    return (
        table_of(caption, head, rows, 1, "Every number"),
        table_of(
            "What a large value says.", ("metric", "meaning"), said, 2, "What each metric says"
        ),
    )


def discrimination_table(found: Discrimination) -> Table:
    """Area under the ROC curve of every signal."""
    rows = [
        [
            name,
            *_numbers(found.auroc[i]),
            estimate_cell(found.difference[i], digits=2, effect=True),
            number(found.p[i].item()),
        ]
        for i, name in enumerate(found.signal)
    ]
    caption = (
        f"Intervals are {level_text(found)}of each number alone, over problems; p is not adjusted. "
        "A dash: no area, because all answers are right or all wrong."
    )
    head = ("signal", "base", "post", "post minus base", "p")
    return table_of(caption, head, rows, 1, "Every number")


def _numbers(both: Estimate) -> list[Cell]:
    return [estimate_cell(both[m], digits=2) for m in range(both.shape[0])]


def _both(words: list[str]) -> str:
    return words[0] if len({*words}) == 1 else " / ".join(words)


def _unit(unit: str) -> str:
    return "" if unit == "share" else f" ({unit})"
