"""What can be wrong with a question about representations before it is answered."""

from elicit.results import ElicitError


class RepresentationError(ElicitError):
    """Labels, activations or tokens from which nothing could be concluded as they are."""
