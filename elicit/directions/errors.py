"""What `directions` refuses."""

from elicit.results import ElicitError


class DirectionError(ElicitError):
    """Prompts, activations or options that yield no direction, or no reliable one."""
