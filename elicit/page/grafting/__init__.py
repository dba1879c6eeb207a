"""Page part for weight grafting."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from elicit.grafting import Interpolation, IntervalSweep, LayerRoles, Samples, Verdict, WeightIG
from elicit.page import Glance, Mark, Part, Table, first, register
from elicit.page.grafting.sections import sections
from elicit.page.grafting.tables import task_table
from elicit.page.grafting.text import summary_sentence
from elicit.results import Result
from elicit.weights import WeightChange

__all__ = ["summary_sentence"]

_GROUNDS = {
    (Verdict.CORRUPTED,): "warm",
    (Verdict.SKILL,): "cool",
    (Verdict.CORRUPTED, Verdict.SKILL): "both",
}


def _sentences(results: Sequence[Result]) -> list[str]:
    roles = first(results, LayerRoles)
    return [] if roles is None else [summary_sentence(roles)]


def _tables(results: Sequence[Result]) -> list[Table]:
    roles = first(results, LayerRoles)
    return [] if roles is None else [task_table(roles)]


def _values(results: Sequence[Result]) -> Mapping[str, object]:
    return {"roles": first(results, LayerRoles)}


def _glance(results: Sequence[Result]) -> Glance | None:
    """Row of marks with every layer's verdict."""
    roles = first(results, LayerRoles)
    if roles is None:
        return None
    marks = []
    for layer, kind, verdicts, words in zip(
        roles.layer.tolist(), roles.kind, roles.verdict, roles.label, strict=True
    ):
        if kind == "layer":
            marks.append(
                Mark(
                    name=str(layer),
                    mark="".join(verdict.mark for verdict in verdicts),
                    word=f"layer {layer}: {words}",
                    ground=_GROUNDS.get(verdicts, ""),
                )
            )
    legend = ", ".join(f"{verdict.mark} {verdict.label}" for verdict in Verdict)
    legend = f"Layers from first to last: {legend}."
    return Glance("Verdict of each layer", tuple(marks), legend) if marks else None


register(
    Part(
        name="grafting",
        kinds=(LayerRoles, Interpolation, IntervalSweep, Samples, WeightChange, WeightIG),
        order=40,
        sections=sections,
        sentences=_sentences,
        silent="No layers were moved between the models in this run, so no layer has a verdict.",
        moved="weights",
        glance=_glance,
        tables=_tables,
        folder=Path(__file__).parent,
        values=_values,
    )
)
