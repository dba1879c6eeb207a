"""Figures of sweeps and factorials."""

from elicit.patching.figures.factorial import factorial_figure
from elicit.patching.figures.grid import grid_figure

__all__ = ["factorial_figure", "grid_figure"]
