"""Tokens as readable text."""

from collections.abc import Sequence

from elicit.pair import Alignment
from elicit.results import visible_token


def words_of(alignment: Alignment, ids: Sequence[int]) -> tuple[str, ...]:
    """Each token by itself, with white space and control characters made visible."""
    return tuple(visible_token(alignment.decode([i])) for i in ids)
