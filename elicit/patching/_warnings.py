"""Warnings of a sweep, attributed to the caller's line."""

import sys
import warnings


class SlowSweepWarning(UserWarning):
    """A sweep of one whole forward pass per cell: the engine cannot decompose the model."""


class MissingControlWarning(UserWarning):
    """A control that was requested and cannot be run."""


def warn(message: str, category: type[UserWarning]) -> None:
    """Warn at the nearest caller outside this package, however deep the call."""
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "elicit":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
