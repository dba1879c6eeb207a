"""The page about steering."""

from pathlib import Path

from elicit.directions import DirectionSet
from elicit.elicitation import DoseCurve, SteeredTexts
from elicit.page import Part, register
from elicit.page.elicitation.sections import steer_sections
from elicit.page.elicitation.text import gap_text, steer_sentence, steer_sentences

__all__ = ["gap_text", "steer_sentence"]

register(
    Part(
        name="elicitation",
        kinds=(DirectionSet, DoseCurve, SteeredTexts),
        order=30,
        sections=steer_sections,
        sentences=steer_sentences,
        eyebrow=lambda results: "One model steered, with controls at their own best strength",
        folder=Path(__file__).parent,
    )
)
