"""Which direction carries it? One vector at a site, found and judged; `elicitation` adds it."""

from elicit.directions.components import paired_pca
from elicit.directions.controls import matched_controls
from elicit.directions.erasure import Eraser, leace
from elicit.directions.errors import DirectionError
from elicit.directions.export import export_lm_eval, lm_eval_bytes
from elicit.directions.means import diff_mean
from elicit.directions.shift import ActivationShift, activation_shift
from elicit.directions.sides import headed, traced
from elicit.directions.trained import TrainedVector, train_vector
from elicit.directions.values import Direction, DirectionSet

__all__ = [
    "ActivationShift",
    "Direction",
    "DirectionError",
    "DirectionSet",
    "Eraser",
    "TrainedVector",
    "activation_shift",
    "diff_mean",
    "export_lm_eval",
    "headed",
    "leace",
    "lm_eval_bytes",
    "matched_controls",
    "paired_pca",
    "traced",
    "train_vector",
]
