"""Tokens as people read them."""

from collections.abc import Sequence

from elicit.pair import ModelPair
from elicit.results.drawing import visible


def words_of(pair: ModelPair, ids: Sequence[int]) -> tuple[str, ...]:
    """Each token by itself, white space and control characters made visible.

    Args:
        pair: Whose tokens.
        ids: Token ids.
    """
    return tuple(
        visible(pair.alignment.decode([i])).replace("\n", "⏎").replace("\t", "⇥") for i in ids
    )
