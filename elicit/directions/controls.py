"""Control directions, with the norm and site of a real one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from elicit.directions.errors import DirectionError
from elicit.directions.values import Direction


def matched_controls(
    direction: Direction,
    *,
    n_random: int = 4,
    shuffled: bool = True,
    others: Sequence[Direction] = (),
    seed: int = 0,
) -> tuple[Direction, ...]:
    """Control directions with the norm and site of the direction under test.

    Random directions test whether any vector of that norm suffices, the shuffled one whether the
    magnitudes of its entries suffice, others whether the direction of this layer is needed.

    Args:
        direction: Direction under test.
        n_random: Number of directions drawn uniformly on the sphere.
        shuffled: Whether to include the direction with its entries permuted.
        others: Directions of other layers or contrasts, rescaled to the norm. Neighbouring layers
            mostly share the direction and are no fair control.
        seed: Seed of drawing and permuting.

    Raises:
        DirectionError: No control is requested, or widths differ.

    Source: Norm-matched random directions as in Arditi et al. 2024, arXiv:2406.11717; the shuffled
        one is ours.
    """
    if n_random < 0 or not (n_random or shuffled or others):
        raise DirectionError(
            f"n_random is {n_random}, shuffled {shuffled} and there are {len(others)} others, so "
            "there would be no control. Request at least one; 4 random ones are usual."
        )
    width, generator = len(direction.vector), np.random.default_rng(seed)
    made: list[tuple[str, Tensor]] = []
    for number in range(n_random):
        made.append((f"random {number}", torch.from_numpy(generator.standard_normal(width))))
    if shuffled:
        order = torch.from_numpy(generator.permutation(width))
        made.append(("shuffled", direction.vector[order].double()))
    for other in others:
        if len(other.vector) != width:
            raise DirectionError(
                f"the direction at {other.site} has {len(other.vector)} entries and that at "
                f"{direction.site} {width}, so it cannot be added there. Pass one of equal width."
            )
        made.append((f"{other.how} at {other.site}", other.vector.double()))
    return tuple(
        replace(direction, how=how, vector=_scaled(vector, direction)) for how, vector in made
    )


def _scaled(vector: Float[Tensor, " width"], like: Direction) -> Float[Tensor, " width"]:
    """A vector rescaled to a direction's norm, in its dtype."""
    return (vector * (like.vector.double().norm() / vector.norm())).to(like.vector.dtype)
