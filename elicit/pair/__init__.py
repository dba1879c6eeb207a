"""A base model and its post-trained child, made comparable."""

from elicit.pair.alignment import Alignment, Encoded
from elicit.pair.digests import weights_digest
from elicit.pair.errors import PairError
from elicit.pair.load import load_pair
from elicit.pair.model import ModelPair
from elicit.pair.parameters import ParameterGroup, hugging_face_model, parameter_groups
from elicit.pair.side import Side, SideName

__all__ = [
    "Alignment",
    "Encoded",
    "ModelPair",
    "PairError",
    "ParameterGroup",
    "Side",
    "SideName",
    "hugging_face_model",
    "load_pair",
    "parameter_groups",
    "weights_digest",
]
