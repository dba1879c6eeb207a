"""Figures of results about SAE features: candidates, token injection, recurrence, transfer."""

from elicit.features.figures.candidates import contrast_figure, held_out_figure, reason_figure
from elicit.features.figures.injection import injection_figure
from elicit.features.figures.recurrence import again_figure
from elicit.features.figures.transfer import transfer_figure

__all__ = [
    "again_figure",
    "contrast_figure",
    "held_out_figure",
    "injection_figure",
    "reason_figure",
    "transfer_figure",
]
