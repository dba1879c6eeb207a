"""Errors of the room."""

from elicit.results import ElicitError


class CaptureError(ElicitError):
    """Activations that cannot be read, or a forward that cannot be run layer by layer."""


class UnknownArchitectureError(CaptureError):
    """A model whose blocks the lane engine cannot decompose."""
