"""Errors of patching."""

from elicit.results import ElicitError


class PatchError(ElicitError):
    """An invalid contrast, sweep or set of sweep values."""
