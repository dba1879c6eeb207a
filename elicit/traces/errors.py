"""What is wrong with written thoughts from which nothing can be concluded."""

from elicit.results import ElicitError


class TraceError(ElicitError):
    """Traces, scores or markers from which nothing could be concluded."""
