"""The error of the room."""

from elicit.results import ElicitError


class OrganismError(ElicitError):
    """An organism that does not exist, damaged files, or a text that the language cannot say."""
