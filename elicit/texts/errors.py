"""Errors of token rows and predictions."""

from elicit.results import ElicitError


class TextError(ElicitError):
    """Nothing to read in some rows, no memory for a token, or logits that are not a prediction."""
