"""What `directions` refuses."""

from elicit.results import ElicitError


class DirectionError(ElicitError):
    """Prompts, activations or options that give no direction, or none that could be believed."""
