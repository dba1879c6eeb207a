"""Which direction carries it? One vector at a site, found, judged, and added."""

from elicit.directions.errors import DirectionError
from elicit.directions.means import diff_mean
from elicit.directions.sides import headed
from elicit.directions.values import Direction, DirectionSet

__all__ = [
    "Direction",
    "DirectionError",
    "DirectionSet",
    "diff_mean",
    "headed",
]
