"""Directions that must do nothing: of the same length as a real one, at the same site."""

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
    """Controls of a direction's own norm at its own site.

    Random ones ask whether any push of that size would do, a shuffled one whether the sizes of the
    entries alone would, others whether this layer's own direction is needed.

    Args:
        direction: The one under test.
        n_random: Directions uniform on the sphere.
        shuffled: Whether the direction's own entries in another order are one of them.
        others: Directions found elsewhere, at other layers or by other contrasts, scaled to the
            norm. Layers near its own mostly share its direction and are no fair control.
        seed: Of drawing and shuffling.

    Raises:
        DirectionError: There would be no control, or another direction has another width.

    Source: Random directions of matched norm as in Arditi et al. 2024, arXiv:2406.11717; the
        shuffled one is ours.
    """
    if n_random < 0 or not (n_random or shuffled or others):
        raise DirectionError(
            f"n_random is {n_random}, shuffled {shuffled} and there are {len(others)} others, so "
            "there would be no control. Ask for at least one; 4 random ones are usual."
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
    """A vector at a direction's norm and in its dtype."""
    return (vector * (like.vector.double().norm() / vector.norm())).to(like.vector.dtype)
