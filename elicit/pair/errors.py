"""The one error of this room."""

from elicit.results import ElicitError


class PairError(ElicitError):
    """Two models that cannot be compared, or one that cannot be loaded."""


def reason(error: BaseException, limit: int = 300) -> str:
    """First telling line of another library's error, for quoting in ours.

    Args:
        error: Whatever was raised.
        limit: Longest quote, characters.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= limit else text[: limit - 1] + "…"
