"""Read and write parameters: named parts, grafts that undo themselves, geometry of change."""

from elicit.weights.geometry import LayerChange, WeightChange, by_layer, weight_change
from elicit.weights.parts import (
    Part,
    all_parts,
    changed_layers,
    is_changed,
    layer_interval,
    part,
    parts_of,
)
from elicit.weights.slots import PartError, Slot, slots_of
from elicit.weights.swap import grafted, interpolated, moved, replaced, reverted

__all__ = [
    "LayerChange",
    "Part",
    "PartError",
    "Slot",
    "WeightChange",
    "all_parts",
    "by_layer",
    "changed_layers",
    "grafted",
    "interpolated",
    "is_changed",
    "layer_interval",
    "moved",
    "part",
    "parts_of",
    "replaced",
    "reverted",
    "slots_of",
    "weight_change",
]
