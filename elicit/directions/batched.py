"""Steer with many directions at once: rows of different directions share a batch."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.directions.errors import DirectionError
from elicit.directions.values import Direction
from elicit.edits import Edit, Steer, Where
from elicit.rollouts import EditsAt


def batched_directions(
    directions: Sequence[Direction], *, scale: float | Sequence[float], where: Where
) -> EditsAt:
    """Edits that add to each row the direction of its index, at one strength or each at its own.

    The index, from 0, takes the place of the strength in `dose_rollouts`, so that a hundred
    directions share their batches.

    Args:
        directions: At least two, of one site and width.
        scale: Multiple of each direction that is added, not 0; one for all, or one for each.
        where: Tokens that are steered.

    Raises:
        DirectionError: There are fewer than two directions, their sites or widths differ, or a
            scale is 0 or missing.
    """
    sites = dict.fromkeys((direction.site, len(direction.vector)) for direction in directions)
    each = [float(scale)] * len(directions) if isinstance(scale, int | float) else list(scale)
    if len(directions) < 2 or len(sites) != 1 or len(each) != len(directions) or not all(each):
        listed = ", ".join(f"{site} with {width} entries" for site, width in sites) or "no site"
        raise DirectionError(
            f"{len(directions)} directions are at {listed} and scale is {scale}, but rows of one "
            "batch are steered at one site, each by its direction. Pass two or more directions of "
            "one site, and a scale other than 0, one for all or one for each."
        )
    site = directions[0].site
    vectors = torch.stack([direction.vector for direction in directions])
    scales = torch.tensor(each, dtype=torch.float32)

    def edits_at(number: Float[Tensor, " row"]) -> Sequence[Edit]:
        # That edits follow their strength is checked with one number beyond the last.
        at = number.long() % len(vectors)
        return [Steer(site, vectors[at], scale=scales[at], where=where)]

    return edits_at
