"""Errors of written thoughts."""

from elicit.results import ElicitError


class TraceError(ElicitError):
    """Thoughts, scores or markers that cannot be read, or from which nothing could be concluded."""
