"""Attribution: what patching would do, foretold by gradients; and patching of single paths."""

from elicit.patching.attribution.agreement import Agreement, agreement
from elicit.patching.attribution.ask import attribute, attribute_across
from elicit.patching.attribution.ask_edges import attribute_edges, attribute_edges_across
from elicit.patching.attribution.ask_path import path_patch, path_patch_across
from elicit.patching.attribution.nodes import METHODS, Method
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
    "attribute_across",
    "attribute_edges",
    "attribute_edges_across",
    "path_patch",
    "path_patch_across",
]
