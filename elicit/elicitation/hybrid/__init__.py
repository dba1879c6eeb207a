"""Guided hybrid: base writes, and where a switch fires a vector is added at that token alone."""

from elicit.elicitation.hybrid.design import GATES, Gate, HybridDesign
from elicit.elicitation.hybrid.disagreements import Disagreements, disagreements
from elicit.elicitation.hybrid.fit import HybridFit, HybridTraining, fit_hybrid
from elicit.elicitation.hybrid.means import HybridSteering, Reranking
from elicit.elicitation.hybrid.measure import Hybrid, measure_hybrid
from elicit.elicitation.hybrid.switch import LearnedSwitch

__all__ = [
    "GATES",
    "Disagreements",
    "Gate",
    "Hybrid",
    "HybridDesign",
    "HybridFit",
    "HybridSteering",
    "HybridTraining",
    "LearnedSwitch",
    "Reranking",
    "disagreements",
    "fit_hybrid",
    "measure_hybrid",
]
