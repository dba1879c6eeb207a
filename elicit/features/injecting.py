"""Put a feature's favourite tokens into texts in which nobody reasons."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

Form = Literal["prepend", "append", "intersperse", "replace", "bigram", "trigram"]
FORMS: tuple[Form, ...] = get_args(Form)
Gram = tuple[int, ...]


def inject(
    row: Sequence[int],
    tokens: Sequence[Gram],
    form: Form,
    *,
    special: frozenset[int],
    rng: np.random.Generator,
) -> list[int]:
    """A text with tokens put into it; a special token at its start stays there.

    Args:
        row: Token ids of the text.
        tokens: What is put in, each token or run of tokens once, in this order.
        form: `prepend` and `append` put all at one end, `intersperse` spreads them evenly,
            `replace` puts them in place of others, `bigram` and `trigram` at random places.
        special: Ids that are not text.
        rng: Draws the places.
    """
    lead = 1 if row and row[0] in special else 0
    head, body = list(row[:lead]), list(row[lead:])
    flat = [i for gram in tokens for i in gram]
    if form == "prepend":
        return [*head, *flat, *body]
    if form == "append":
        return [*head, *body, *flat]
    if form == "replace":
        places = rng.permutation(len(body))[: len(flat)]
        for place, token in zip(places, flat, strict=False):
            body[int(place)] = token
        return head + body
    if form == "intersperse":
        gaps = [round((i + 1) * len(body) / (len(tokens) + 1)) for i in range(len(tokens))]
    else:
        gaps = sorted(int(i) for i in rng.integers(0, len(body) + 1, len(tokens)))
    # From the end on, or earlier ones would move the later gaps.
    for gap, gram in sorted(zip(gaps, tokens, strict=True), key=lambda at: at[0], reverse=True):
        body[gap:gap] = gram
    return head + body
