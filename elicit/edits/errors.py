"""What `edits` refuses."""

from elicit.results import ElicitError


class EditError(ElicitError):
    """An edit that cannot be made as requested, or that was never made."""
