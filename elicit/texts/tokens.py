"""Human-readable token texts."""

from collections.abc import Iterable

from elicit.pair import Alignment
from elicit.results import visible_token

END = "∎"
"""Shown where a row ends and nothing follows."""


def token_texts(alignment: Alignment, ids: Iterable[int]) -> dict[int, str]:
    """Text of each id, white space made visible; an id without text is shown as its token.

    Args:
        alignment: Whose tokenizer made the ids.
        ids: Token ids; -1 is no token.
    """
    texts = {}
    for i in dict.fromkeys(ids):
        if i < 0:
            texts[i] = END
            continue
        text = alignment.decode([i])
        token = alignment.template_tokenizer.convert_ids_to_tokens(i)
        readable = text and "\ufffd" not in text
        texts[i] = visible_token(text) if readable else str(token or f"#{i}")
    return texts
