"""Attribution patching by gradients, and exact path patching."""

from elicit.patching.attribution._node_scores import METHODS, Method
from elicit.patching.attribution.agreement import Agreement, agreement
from elicit.patching.attribution.attribute import attribute
from elicit.patching.attribution.edges import attribute_edges
from elicit.patching.attribution.path import path_patch
from elicit.patching.attribution.result import EdgeScores, NodeScores, PathEffect

__all__ = [
    "METHODS",
    "Agreement",
    "EdgeScores",
    "Method",
    "NodeScores",
    "PathEffect",
    "agreement",
    "attribute",
    "attribute_edges",
    "path_patch",
]
