"""The page about mechanisms and the verdict on origin."""

from pathlib import Path

from elicit.elicitation import (
    BudgetForced,
    Collateral,
    CotDecoding,
    DialCurve,
    Disagreements,
    ExampleRates,
    ForcedForm,
    Hybrid,
    Mechanism,
    PowerSample,
    SolvedOverlap,
    TrainingCourse,
    Transplant,
    Votes,
)
from elicit.page import Part, register
from elicit.page.mechanisms.sections import mechanism_sections
from elicit.page.mechanisms.text import mechanism_sentences, verdict_sentence
from elicit.representations import ShiftAgreement
from elicit.texts import TextBits
from elicit.verdicts import Origin

__all__ = ["verdict_sentence"]

register(
    Part(
        name="mechanisms",
        kinds=(
            BudgetForced,
            Collateral,
            CotDecoding,
            DialCurve,
            Disagreements,
            ExampleRates,
            ForcedForm,
            Hybrid,
            Mechanism,
            Origin,
            PowerSample,
            ShiftAgreement,
            SolvedOverlap,
            TextBits,
            TrainingCourse,
            Transplant,
            Votes,
        ),
        order=12,
        sections=mechanism_sections,
        sentences=mechanism_sentences,
        eyebrow=lambda results: "What brings post’s behaviour out of base, and where it came from",
        folder=Path(__file__).parent,
    )
)
