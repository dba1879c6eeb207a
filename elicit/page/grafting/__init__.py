"""The page about weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from elicit.grafting import Attribution, Interpolation, IntervalSweep, Samples, WeightIG
from elicit.page import Glance, Mark, Part, Table, first, register
from elicit.page.grafting.sections import sections
from elicit.page.grafting.tables import task_table
from elicit.page.grafting.text import MARKS, VERDICTS, summary_sentence
from elicit.results import Result
from elicit.weights import WeightChange

__all__ = ["summary_sentence"]

_GROUNDS = {"corrupted": "warm", "skill": "cool"}


def _sentences(results: Sequence[Result]) -> list[str]:
    attribution = first(results, Attribution)
    return [] if attribution is None else [summary_sentence(attribution)]


def _tables(results: Sequence[Result]) -> list[Table]:
    attribution = first(results, Attribution)
    return [] if attribution is None else [task_table(attribution)]


def _values(results: Sequence[Result]) -> Mapping[str, object]:
    return {"attribution": first(results, Attribution)}


def _glance(results: Sequence[Result]) -> Glance | None:
    """Every layer's verdict as one mark."""
    attribution = first(results, Attribution)
    if attribution is None:
        return None
    marks = []
    for i, kind in enumerate(attribution.kind):
        if kind == "layer":
            layer, words = int(attribution.layer[i].item()), attribution.verdict[i].split("+")
            said = " and ".join(VERDICTS.get(word, word) for word in words)
            marks.append(
                Mark(
                    name=str(layer),
                    mark="".join(MARKS.get(word, "?") for word in words),
                    word=f"layer {layer}: {said}",
                    ground="both" if len(words) > 1 else _GROUNDS.get(words[0], ""),
                )
            )
    legend = (
        "Layers from first to last: ✕ corrupted, ★ carries the skill, ○ changed but not "
        "distinguishable from no effect, − unchanged."
    )
    return Glance("Verdict of each layer", tuple(marks), legend) if marks else None


register(
    Part(
        name="grafting",
        kinds=(Attribution, Interpolation, IntervalSweep, Samples, WeightChange, WeightIG),
        order=40,
        sections=sections,
        sentences=_sentences,
        silent="No layers were moved between base and post in this run, so this page cannot say "
        "which are corrupted or carry a skill.",
        moved="weights",
        glance=_glance,
        tables=_tables,
        folder=Path(__file__).parent,
        values=_values,
    )
)
