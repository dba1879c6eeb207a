"""Attribution: what patching would do, foretold by gradients; and patching of single paths."""

from elicit.patching.attribution.agreement import Agreement, agreement
from elicit.patching.attribution.ask import attribute, attribute_across
from elicit.patching.attribution.nodes import METHODS, Method
from elicit.patching.attribution.result import NodeScores

__all__ = [
    "METHODS",
    "Agreement",
    "Method",
    "NodeScores",
    "agreement",
    "attribute",
    "attribute_across",
]
