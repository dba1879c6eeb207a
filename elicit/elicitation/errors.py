"""Errors of steering."""

from elicit.results import ElicitError


class ElicitationError(ElicitError, ValueError):
    """The arms, strengths or problems allow no conclusion about steering."""
