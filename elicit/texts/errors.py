"""What can be wrong with token rows and with predictions read from them."""

from elicit.results import ElicitError


class TextError(ElicitError):
    """Rows without a position to read, a budget that holds no token, or logits without a prediction."""
