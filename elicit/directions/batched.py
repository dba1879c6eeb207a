"""Many directions in one go: rows of every direction side by side in a batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.directions.errors import DirectionError
from elicit.directions.values import Direction
from elicit.edits import Edit, Steer, Where
from elicit.rollouts import EditsAt


def batched_directions(directions: Sequence[Direction], *, scale: float, where: Where) -> EditsAt:
    """Edits that add to each row the direction whose number it has, all at one strength.

    A direction's number, from 0 on, stands where `dose_rollouts` has a strength, so that a hundred
    directions share their batches.

    Args:
        directions: Of one site and width; at least two, for one needs no number.
        scale: How many times each is added, not 0.
        where: For which tokens.

    Raises:
        DirectionError: There are fewer than two, they are of several sites or widths, or the scale
            is 0.
    """
    sites = dict.fromkeys((direction.site, len(direction.vector)) for direction in directions)
    if len(directions) < 2 or len(sites) != 1 or not scale:
        told = ", ".join(f"{site} with {width} entries" for site, width in sites) or "no site"
        raise DirectionError(
            f"{len(directions)} directions are of {told}, and the scale is {scale}: rows of one "
            "batch are steered at one site, by more than nothing, and differ in what is added. "
            "Pass two directions or more of one site, and a scale other than 0."
        )
    site = directions[0].site
    vectors = torch.stack([direction.vector for direction in directions])

    def edits_at(number: Float[Tensor, " row"]) -> Sequence[Edit]:
        # That edits follow their strength is checked with one number beyond the last.
        return [Steer(site, vectors[number.long() % len(vectors)], scale=scale, where=where)]

    return edits_at
