"""Page part for settling depths."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from elicit.page import Part, first, register
from elicit.page.revision.sections import revise_sections
from elicit.page.revision.text import NAMES, convention_text, percent, revise_sentences
from elicit.results import Result
from elicit.revision import DepthByGroup, Profile, Sensitivity, Settling, TunedLensFit

__all__ = ["NAMES", "percent", "revise_sentences"]


def _values(results: Sequence[Result]) -> Mapping[str, object]:
    settled = first(results, Settling)
    return {"convention": settled and convention_text(settled.convention, settled.n_layers)}


register(
    Part(
        name="revision",
        kinds=(DepthByGroup, Profile, Sensitivity, Settling, TunedLensFit),
        order=60,
        sections=revise_sections,
        sentences=revise_sentences,
        silent="Base and post were not compared in this run; the figures show one text.",
        eyebrow=lambda results: (
            "Base model against its post-trained sibling: when do their predictions settle?"
        ),
        folder=Path(__file__).parent,
        values=_values,
    )
)
