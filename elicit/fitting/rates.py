"""Learning rates over the steps of a fit."""

from collections.abc import Callable

Rate = Callable[[int], float]
"""Learning rate of a step, counted from 0."""


def constant(learning_rate: float) -> Rate:
    """The same rate at every step."""
    return lambda step: learning_rate


def linear_decay(learning_rate: float, *, steps: int, warm_up: int = 0) -> Rate:
    """A rate that rises linearly over the warm-up, then falls linearly and never reaches 0.

    Args:
        learning_rate: The largest rate.
        steps: Updates in all.
        warm_up: Updates before the rate is at its largest.
    """

    def rate(step: int) -> float:
        up = (step + 1) / warm_up if step < warm_up else 1.0
        return learning_rate * min(up, (steps - step) / (steps - warm_up))

    return rate
