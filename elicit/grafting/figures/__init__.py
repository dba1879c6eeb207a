"""Figures of grafting: effects of parts, intervals of layers, interpolation, gradients."""

from elicit.grafting.figures.curves import integrated_figure, interpolation_figure, interval_figure
from elicit.grafting.figures.effects import effect_figure, shown_tasks

__all__ = [
    "effect_figure",
    "integrated_figure",
    "interpolation_figure",
    "interval_figure",
    "shown_tasks",
]
