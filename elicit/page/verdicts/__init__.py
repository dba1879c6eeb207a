"""The page about existence."""

from pathlib import Path

from elicit.page import Part, register
from elicit.page.verdicts.sections import ladder_sections, ladder_sentence, ladder_sentences
from elicit.verdicts import Ladder

__all__ = ["ladder_sentence"]

register(
    Part(
        name="verdicts",
        kinds=(Ladder,),
        order=10,
        sections=ladder_sections,
        sentences=ladder_sentences,
        eyebrow=lambda results: "Does the base already have the post-trained model’s behaviour?",
        folder=Path(__file__).parent,
    )
)
