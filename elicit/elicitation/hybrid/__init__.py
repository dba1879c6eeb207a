"""Guided hybrid: base writes, and where a switch fires a vector is added at that token alone."""

from elicit.elicitation.hybrid.disagreements import Disagreements, disagreements
from elicit.elicitation.hybrid.fit import HybridFit, HybridTraining, fit_hybrid
from elicit.elicitation.hybrid.switch import LearnedSwitch

__all__ = [
    "Disagreements",
    "HybridFit",
    "HybridTraining",
    "LearnedSwitch",
    "disagreements",
    "fit_hybrid",
]
