"""Token ids as a person reads them."""

from collections.abc import Iterable

from elicit.pair import Alignment

END = "∎"
"""Stands where a row ends and nothing follows."""


def words(alignment: Alignment, ids: Iterable[int]) -> dict[int, str]:
    """Text of each id; what has no text, or only white space, is shown as its token.

    Args:
        alignment: Whose tokenizer wrote the ids.
        ids: Token ids; -1 is no token.
    """
    found = {}
    for i in dict.fromkeys(ids):
        if i < 0:
            found[i] = END
            continue
        text = alignment.decode([i])
        token = alignment.template_tokenizer.convert_ids_to_tokens(i)
        found[i] = text if text.strip() and "\ufffd" not in text else str(token or f"#{i}")
    return found
