"""Page on SAE features."""

from pathlib import Path

from elicit.features import (
    Conclusion,
    ContrastScores,
    FeatureTable,
    Fidelity,
    HeldOut,
    LatentScaling,
    ReasonScores,
    ResamplingStability,
    TokenInjection,
    Transfer,
)
from elicit.page import Part, register
from elicit.page.features.sections import features_sections
from elicit.page.features.text import features_sentences

__all__ = ["features_sentences"]

register(
    Part(
        name="features",
        kinds=(
            Conclusion, ContrastScores, FeatureTable, Fidelity, HeldOut, LatentScaling,
            ReasonScores, ResamplingStability, TokenInjection, Transfer,
        ),
        order=20,
        sections=features_sections,
        sentences=features_sentences,
        eyebrow=lambda results: (
            "SAE features: which are about reasoning, and does post still have them?"
        ),
        folder=Path(__file__).parent,
    )
)  # fmt: skip
