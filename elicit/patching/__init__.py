"""Which activations carry the difference: within a model, across two, or by gradients."""

from elicit.patching._checks import prepare
from elicit.patching._continuations import Texts, read_lines
from elicit.patching._warnings import MissingControlWarning, SlowSweepWarning
from elicit.patching.attribution import (
    Agreement,
    EdgeScores,
    NodeScores,
    PathEffect,
    attribute,
    attribute_edges,
    path_patch,
)
from elicit.patching.columns import Positions, shown_pos
from elicit.patching.contrast import Contrast, load_contrast
from elicit.patching.errors import PatchError
from elicit.patching.factorial import FactorialMetric, factorial
from elicit.patching.factorial_result import Factorial
from elicit.patching.grid import PatchGrid
from elicit.patching.peak import Peak
from elicit.patching.plan import Plan
from elicit.patching.swap import Swap, across, within
from elicit.patching.sweep import patch, run
from elicit.patching.values import MARGINS
from elicit.surroundings import guard_room

__all__ = [
    "MARGINS",
    "Agreement",
    "Contrast",
    "EdgeScores",
    "Factorial",
    "FactorialMetric",
    "MissingControlWarning",
    "NodeScores",
    "PatchError",
    "PatchGrid",
    "PathEffect",
    "Peak",
    "Plan",
    "Positions",
    "SlowSweepWarning",
    "Swap",
    "Texts",
    "across",
    "attribute",
    "attribute_edges",
    "factorial",
    "load_contrast",
    "patch",
    "path_patch",
    "prepare",
    "read_lines",
    "run",
    "shown_pos",
    "within",
]

guard_room(__name__)
