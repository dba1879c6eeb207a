"""What can be wrong with a reading of layers before it starts."""

from elicit.results import ElicitError


class RevisionError(ElicitError):
    """A lens, a convention or a text by which no revision of a prediction can be read."""
