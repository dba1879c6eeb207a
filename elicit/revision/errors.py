"""Errors of reading layers."""

from elicit.results import ElicitError


class RevisionError(ElicitError):
    """An invalid lens, convention or text."""
