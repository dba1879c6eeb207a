"""Errors of text generation."""

from elicit.results import ElicitError


class RolloutError(ElicitError):
    """The requested text cannot be sampled, or would not be what it seems."""
