"""Directions: one vector at one site, estimated and validated; `elicitation` steers with them."""

from elicit.directions._patchscope import Inspection, Patchscope, patchscope
from elicit.directions.batched import batched_directions
from elicit.directions.contrast import PromptPairs
from elicit.directions.controls import matched_controls
from elicit.directions.erasure import Eraser, leace
from elicit.directions.errors import DirectionError
from elicit.directions.export import export_lm_eval, lm_eval_bytes, lm_eval_file
from elicit.directions.from_states import between_states
from elicit.directions.means import diff_mean
from elicit.directions.pca import paired_pca
from elicit.directions.shift import ActivationShift, activation_shift
from elicit.directions.trained import TrainedVector, train_vector
from elicit.directions.values import Direction, DirectionSet
from elicit.surroundings import guard_room

__all__ = [
    "batched_directions",
    "ActivationShift",
    "Direction",
    "DirectionError",
    "DirectionSet",
    "Eraser",
    "Inspection",
    "Patchscope",
    "PromptPairs",
    "TrainedVector",
    "activation_shift",
    "between_states",
    "diff_mean",
    "export_lm_eval",
    "leace",
    "lm_eval_bytes",
    "lm_eval_file",
    "matched_controls",
    "paired_pca",
    "patchscope",
    "train_vector",
]

guard_room(__name__)
