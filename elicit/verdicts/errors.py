"""What can be wrong with a verdict that is asked for, before anything is run."""

from elicit.results import ElicitError


class VerdictError(ElicitError):
    """A pair, problems or options from which no verdict could follow."""
