"""Read and write parameters: named parts, grafts that undo themselves, geometry of change."""

from elicit.weights._spectra import spectra_flop
from elicit.weights.geometry import LayerChange, WeightChange, by_layer, weight_change
from elicit.weights.parts import (
    Part,
    all_parts,
    changed_layers,
    changed_slots,
    is_changed,
    layer_interval,
    one_embedding,
    part,
    parts_of,
)
from elicit.weights.slots import PartError, Slot, slot_table, slots_of
from elicit.weights.swap import grafted, interpolated, moved, replaced, reverted
from elicit.weights.transplant import transplanted

__all__ = [
    "LayerChange",
    "Part",
    "PartError",
    "Slot",
    "WeightChange",
    "all_parts",
    "by_layer",
    "changed_layers",
    "changed_slots",
    "grafted",
    "interpolated",
    "is_changed",
    "layer_interval",
    "moved",
    "one_embedding",
    "part",
    "parts_of",
    "replaced",
    "reverted",
    "slot_table",
    "slots_of",
    "spectra_flop",
    "transplanted",
    "weight_change",
]
