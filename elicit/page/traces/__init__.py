"""The page about written thoughts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from elicit.page import Part, first, register
from elicit.page.traces.sections import trace_sections
from elicit.page.traces.text import trace_sentences
from elicit.results import Result
from elicit.traces import (
    Anchors,
    AnswerCalibration,
    Conclusion,
    Crossing,
    Dependence,
    Discrimination,
    Epistemic,
    Information,
    Ledger,
    LengthAgainst,
    Process,
    Reach,
    Receivers,
    Reflection,
    Shifts,
    VoteSweep,
)
from elicit.verdicts import Scorecard

__all__ = ["trace_sentences"]


def _values(results: Sequence[Result]) -> Mapping[str, object]:
    card, read = first(results, Scorecard), first(results, Ledger)
    return {"source": card and card.source, "lead_in": read and read.lead_in}


register(
    Part(
        name="traces",
        kinds=(
            Scorecard,
            Dependence,
            Information,
            Conclusion,
            Discrimination,
            Shifts,
            Reach,
            Crossing,
            Anchors,
            Receivers,
            AnswerCalibration,
            Reflection,
            LengthAgainst,
            Process,
            Epistemic,
            VoteSweep,
            Ledger,
        ),
        order=20,
        sections=trace_sections,
        sentences=trace_sentences,
        silent="Whether answers depend on written thoughts was not measured in this run.",
        eyebrow=lambda results: "Do answers still come from the written thoughts?",
        folder=Path(__file__).parent,
        values=_values,
    )
)
