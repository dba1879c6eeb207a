"""What can be wrong with a request for text."""

from elicit.results import ElicitError


class RolloutError(ElicitError):
    """Text that cannot be sampled as asked, or would not be what it seems."""
