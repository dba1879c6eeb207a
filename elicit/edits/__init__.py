"""Write activations: edits as values, on a model for one `with` block."""

from elicit.edits._tokens import names_rows
from elicit.edits.block import Edited, active, edited
from elicit.edits.errors import EditError
from elicit.edits.shape import shape_of
from elicit.edits.values import Ablate, Clamp, Edit, MaskAttention, Patch, ProjectOut, Shift, Steer
from elicit.edits.where import Where, at, everywhere, generated, last, marked, prompt, window

__all__ = [
    "Ablate",
    "Clamp",
    "Edit",
    "EditError",
    "Edited",
    "MaskAttention",
    "Patch",
    "ProjectOut",
    "Shift",
    "Steer",
    "Where",
    "active",
    "at",
    "edited",
    "everywhere",
    "generated",
    "last",
    "marked",
    "names_rows",
    "prompt",
    "shape_of",
    "window",
]
