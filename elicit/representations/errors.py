"""Errors of questions about representations."""

from elicit.results import ElicitError


class RepresentationError(ElicitError):
    """Labels, activations or tokens from which nothing could be concluded."""
