"""Which direction carries it? One vector at a site, found and judged; `elicitation` adds it."""

from elicit.directions.batched import batched_directions
from elicit.directions.components import paired_pca
from elicit.directions.contrasted import between_states
from elicit.directions.controls import matched_controls
from elicit.directions.erasure import Eraser, leace
from elicit.directions.errors import DirectionError
from elicit.directions.export import export_lm_eval, lm_eval_bytes
from elicit.directions.means import diff_mean
from elicit.directions.scope import Patchscope, patchscope
from elicit.directions.shift import ActivationShift, activation_shift
from elicit.directions.trained import TrainedVector, train_vector
from elicit.directions.values import Direction, DirectionSet

__all__ = [
    "batched_directions",
    "ActivationShift",
    "Direction",
    "DirectionError",
    "DirectionSet",
    "Eraser",
    "Patchscope",
    "TrainedVector",
    "activation_shift",
    "between_states",
    "diff_mean",
    "export_lm_eval",
    "leace",
    "lm_eval_bytes",
    "matched_controls",
    "paired_pca",
    "patchscope",
    "train_vector",
]
