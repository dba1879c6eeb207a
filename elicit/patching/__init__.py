"""Which activations carry the difference: within a model, across two, or by gradients."""

from elicit.patching.attribution import (
    Agreement,
    EdgeScores,
    NodeScores,
    PathEffect,
    attribute,
    attribute_across,
    attribute_edges,
    attribute_edges_across,
    path_patch,
    path_patch_across,
)
from elicit.patching.columns import Positions
from elicit.patching.contrast import Contrast, load_contrast
from elicit.patching.errors import PatchError
from elicit.patching.factorial import factorial
from elicit.patching.factorial_result import Factorial
from elicit.patching.grid import PatchGrid, Peak
from elicit.patching.sweep import SlowSweepWarning
from elicit.patching.ways import across, within

__all__ = [
    "Agreement",
    "EdgeScores",
    "NodeScores",
    "PathEffect",
    "attribute",
    "attribute_across",
    "attribute_edges",
    "attribute_edges_across",
    "path_patch",
    "path_patch_across",
    "Contrast",
    "Factorial",
    "PatchError",
    "PatchGrid",
    "Peak",
    "Positions",
    "SlowSweepWarning",
    "across",
    "factorial",
    "load_contrast",
    "within",
]
