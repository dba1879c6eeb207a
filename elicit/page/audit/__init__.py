"""The page of an audit: three answers first, then what they rest on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from elicit.grafting import Verdict
from elicit.page import Fragment, Glance, Mark, Part, first, register
from elicit.page.audit.cards import answer_cards
from elicit.page.audit.sections import audit_sections
from elicit.results import Result
from elicit.verdicts import Audit


def _sentences(results: Sequence[Result]) -> list[str]:
    return [result.headline for result in results if isinstance(result, Audit)]


def _cards(results: Sequence[Result]) -> list[Fragment]:
    return [answer_cards(result) for result in results if isinstance(result, Audit)]


def _values(results: Sequence[Result]) -> Mapping[str, object]:
    return {"audit": first(results, Audit)}


def _glance(results: Sequence[Result]) -> Glance | None:
    """Row of marks with every layer's verdict."""
    found = first(results, Audit)
    if found is None or not found.changed_layers:
        return None
    marks = []
    for layer in range(found.n_layers):
        own = [
            verdict
            for verdict, layers in (
                (Verdict.CORRUPTED, found.corrupted_layers),
                (Verdict.SKILL, found.skill_layers),
            )
            if layer in layers
        ] or [Verdict.CHANGED if layer in found.changed_layers else Verdict.UNCHANGED]
        words = " and ".join(verdict.label for verdict in own)
        marks.append(
            Mark(
                name=str(layer),
                mark="".join(verdict.mark for verdict in own),
                word=f"layer {layer}: {words}",
                ground=_GROUNDS[tuple(own)],
            )
        )
    legend = ", ".join(f"{verdict.mark} {verdict.label}" for verdict in Verdict)
    return Glance("Verdict of each layer", tuple(marks), f"Layers from first to last: {legend}.")


_GROUNDS = {
    (Verdict.CORRUPTED,): "warm",
    (Verdict.SKILL,): "cool",
    (Verdict.CORRUPTED, Verdict.SKILL): "both",
    (Verdict.CHANGED,): "",
    (Verdict.UNCHANGED,): "",
}

register(
    Part(
        name="audit",
        kinds=(Audit,),
        order=1,
        sections=audit_sections,
        sentences=_sentences,
        cards=_cards,
        eyebrow=lambda results: "Audit of a base model and its post-trained sibling",
        glance=_glance,
        folder=Path(__file__).parent,
        values=_values,
    )
)
