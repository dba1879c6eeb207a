"""Which direction carries it? One vector at a site, found, judged, and added."""

from elicit.directions.components import paired_pca
from elicit.directions.erasure import Eraser, leace
from elicit.directions.errors import DirectionError
from elicit.directions.means import diff_mean
from elicit.directions.sides import headed
from elicit.directions.values import Direction, DirectionSet

__all__ = [
    "Direction",
    "DirectionError",
    "DirectionSet",
    "Eraser",
    "diff_mean",
    "headed",
    "leace",
    "paired_pca",
]
