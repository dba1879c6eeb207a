"""Read and write parameters: named parts, grafts that undo themselves, geometry of change."""

from elicit.weights.geometry import WeightChange, weight_change
from elicit.weights.parts import Part, PartError, all_parts, changed_layers, is_changed, parts_of
from elicit.weights.swap import grafted, interpolated, moved, reverted

__all__ = [
    "Part",
    "PartError",
    "WeightChange",
    "all_parts",
    "changed_layers",
    "grafted",
    "interpolated",
    "is_changed",
    "moved",
    "parts_of",
    "reverted",
    "weight_change",
]
