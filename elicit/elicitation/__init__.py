"""Can the base do it untrained? Steered by a direction or a feature, beside controls."""

from elicit.elicitation.arms import Arm, direction_arms
from elicit.elicitation.choosing import Choice, choose, choose_arms
from elicit.elicitation.dose import dose_curve
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.dose_values import Behaviour
from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.feature_arms import LiveFeatures, feature_arms
from elicit.elicitation.steering import Steered, steer
from elicit.elicitation.texts import SteeredTexts, steered_texts

__all__ = [
    "Arm",
    "Behaviour",
    "Choice",
    "DoseCurve",
    "ElicitationError",
    "LiveFeatures",
    "Steered",
    "SteeredTexts",
    "choose",
    "choose_arms",
    "direction_arms",
    "dose_curve",
    "feature_arms",
    "steer",
    "steered_texts",
]
