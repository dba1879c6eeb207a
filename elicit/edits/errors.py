"""What `edits` refuses."""

from elicit.results import ElicitError


class EditError(ElicitError):
    """An edit that cannot be made as it was asked, or that was asked and never made."""
