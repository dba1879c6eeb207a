"""Fitting: one seeded, resumable training loop for whatever is trained by gradients."""

from elicit.fitting.errors import FittingError, NotFiniteError
from elicit.fitting.loop import Watch, fit, in_epochs
from elicit.fitting.rates import constant, linear_decay

__all__ = [
    "FittingError",
    "NotFiniteError",
    "Watch",
    "constant",
    "fit",
    "in_epochs",
    "linear_decay",
]
