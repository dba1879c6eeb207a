"""Figures of when predictions settle: heat maps, strips, profiles, bands, groups, lenses."""

from elicit.revision.figures.bands import groups_figure, sensitivity_figure
from elicit.revision.figures.curves import settling_figure
from elicit.revision.figures.lens import drift_figure, fit_figure
from elicit.revision.figures.maps import profile_figure
from elicit.revision.figures.strips import strip_figure

__all__ = [
    "drift_figure",
    "fit_figure",
    "groups_figure",
    "profile_figure",
    "sensitivity_figure",
    "settling_figure",
    "strip_figure",
]
