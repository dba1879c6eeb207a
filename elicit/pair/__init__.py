"""A base model and its post-trained child, made comparable."""

from elicit.pair._guards import no_unpickling
from elicit.pair._settings import Loading, resolve_device
from elicit.pair._templates import DATE
from elicit.pair.alignment import Alignment, Text
from elicit.pair.batches import Encoded, pad
from elicit.pair.digests import weights_digest
from elicit.pair.errors import PairError, reason
from elicit.pair.handles import Bridge, Config, HuggingFaceModel, Tokenizer
from elicit.pair.layer_names import layer_names
from elicit.pair.load import load_pair
from elicit.pair.model import ModelPair
from elicit.pair.outline import is_outline, outline_changes, outline_pair
from elicit.pair.parameters import ParameterGroup, hugging_face_model, parameter_groups, unwrapped
from elicit.pair.placement import device_of, is_offloaded, offload, weight_of, without_waiting
from elicit.pair.recording import record_steps, records_steps
from elicit.pair.side import Side, SideName, position_limit
from elicit.surroundings import guard_room

__all__ = [
    "DATE",
    "Alignment",
    "Bridge",
    "Config",
    "Encoded",
    "HuggingFaceModel",
    "Loading",
    "ModelPair",
    "PairError",
    "ParameterGroup",
    "Side",
    "SideName",
    "Text",
    "Tokenizer",
    "device_of",
    "hugging_face_model",
    "layer_names",
    "is_offloaded",
    "is_outline",
    "load_pair",
    "no_unpickling",
    "offload",
    "outline_changes",
    "outline_pair",
    "pad",
    "parameter_groups",
    "position_limit",
    "reason",
    "record_steps",
    "records_steps",
    "resolve_device",
    "unwrapped",
    "weight_of",
    "weights_digest",
    "without_waiting",
]

guard_room(
    __name__,
    runs_nothing={
        "device_of",
        "hugging_face_model",
        "layer_names",
        "is_offloaded",
        "offload",
        "is_outline",
        "outline_changes",
        "outline_pair",
        "parameter_groups",
        "position_limit",
        "unwrapped",
        "reason",
        "record_steps",
        "records_steps",
        "resolve_device",
        "pad",
        "weight_of",
        "weights_digest",
        "without_waiting",
    },
)
