"""Errors of engines."""

from elicit.results import ElicitError


class EngineError(ElicitError):
    """An engine that is not there, cannot serve a model, or does not compute what it computes."""
