"""Page part for activation patching."""

from collections.abc import Sequence
from pathlib import Path

from elicit.page import Part, register
from elicit.page.patching.sections import patch_sections
from elicit.page.patching.text import patch_sentences
from elicit.patching import Factorial, PatchGrid
from elicit.results import Result

__all__ = ["patch_sentences"]


def _eyebrow(results: Sequence[Result]) -> str:
    if all(isinstance(result, PatchGrid) and result.question == "within" for result in results):
        return "One model, with activations patched between its runs on two prompts"
    return ""


register(
    Part(
        name="patching",
        kinds=(PatchGrid, Factorial),
        order=50,
        sections=patch_sections,
        sentences=patch_sentences,
        eyebrow=_eyebrow,
        moved="activations",
        folder=Path(__file__).parent,
    )
)
