"""Errors of studies."""

from elicit.results import ElicitError


class SweepError(ElicitError):
    """A study that cannot be read or run."""
