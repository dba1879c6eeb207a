"""What cannot be steered, or would be told wrongly."""

from elicit.results import ElicitError


class ElicitationError(ElicitError, ValueError):
    """Arms, strengths or problems from which nothing about steering could be concluded."""
