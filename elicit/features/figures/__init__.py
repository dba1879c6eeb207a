"""Figures of results about SAE features: candidates, token injection, resampling, transfer."""

from elicit.features.figures.candidates import contrast_figure, held_out_figure, reason_figure
from elicit.features.figures.resampling import resampling_figure
from elicit.features.figures.token_injection import injection_figure
from elicit.features.figures.transfer import transfer_figure

__all__ = [
    "contrast_figure",
    "held_out_figure",
    "injection_figure",
    "reason_figure",
    "resampling_figure",
    "transfer_figure",
]
