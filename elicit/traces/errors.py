"""Errors of written thoughts."""

from elicit.results import ElicitError


class TraceError(ElicitError):
    """No thought to read, no answer to ask for, or texts that cannot be compared."""
