"""Steer with many directions at once: rows of different directions share a batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.directions.errors import DirectionError
from elicit.directions.values import Direction
from elicit.edits import Edit, Steer, Where
from elicit.rollouts import EditsAt


def batched_directions(directions: Sequence[Direction], *, scale: float, where: Where) -> EditsAt:
    """Edits that add to each row the direction of its index, all at one strength.

    The index, from 0, takes the place of the strength in `dose_rollouts`, so that a hundred
    directions share their batches.

    Args:
        directions: At least two, of one site and width.
        scale: Multiple of each direction that is added, not 0.
        where: Tokens that are steered.

    Raises:
        DirectionError: There are fewer than two directions, their sites or widths differ, or the
            scale is 0.
    """
    sites = dict.fromkeys((direction.site, len(direction.vector)) for direction in directions)
    if len(directions) < 2 or len(sites) != 1 or not scale:
        listed = ", ".join(f"{site} with {width} entries" for site, width in sites) or "no site"
        raise DirectionError(
            f"{len(directions)} directions are at {listed} and scale is {scale}, but rows of one "
            "batch are steered at one site, each by its direction. Pass two or more directions of "
            "one site, and a scale other than 0."
        )
    site = directions[0].site
    vectors = torch.stack([direction.vector for direction in directions])

    def edits_at(number: Float[Tensor, " row"]) -> Sequence[Edit]:
        # That edits follow their strength is checked with one number beyond the last.
        return [Steer(site, vectors[number.long() % len(vectors)], scale=scale, where=where)]

    return edits_at
