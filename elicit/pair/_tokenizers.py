"""Whether two tokenizers give one text the same ids, and one id the same meaning."""

import datetime
from collections.abc import Mapping
from typing import cast

from elicit.pair._settings import Loading
from elicit.pair.alignment import Alignment
from elicit.pair.errors import PairError
from elicit.pair.handles import Tokenizer

# Words, digits, punctuation, spaces, line breaks, accents and emoji: what rules differ about.
_PROBE = "It is 12 + 345 = 357.\n\n  Wait — não: check 'ok'?\t<b>Ünïcode</b> 🙂 aa the a of"


def token_strings(tokenizer: Tokenizer) -> dict[int, str]:
    """The string of every id that the tokenizer knows."""
    return {i: string for string, i in tokenizer.get_vocab().items()}


def adds_bos(tokenizer: Tokenizer) -> bool:
    """Whether encoding a text puts the bos token before it."""
    if tokenizer.bos_token_id is None:
        return False
    # Called on itself, never through the bridge, whose copy adds bos to every text.
    ids = tokenizer.encode("a", add_special_tokens=True)
    return len(ids) > 0 and ids[0] == tokenizer.bos_token_id


def check_tokenizers(base: Tokenizer, post: Tokenizer, loading: Loading = Loading()) -> list[str]:
    """Refuse two tokenizers under which one id has two meanings; note what else differs.

    Returns:
        Differences that leave the comparison sound, a sentence each.

    Raises:
        PairError: An id means two strings, a string has two ids, or only one tokenizer adds bos.
    """
    base_strings, post_strings = token_strings(base), token_strings(post)
    _check_renamed(base, post, loading.renamed_tokens)
    renamed = loading.renamed_tokens
    base_strings = {i: renamed.get(string, string) for i, string in base_strings.items()}
    # Most pairs have one tokenizer: what is equal as a whole needs no look at each token.
    same = base_strings == post_strings
    for i in () if same else sorted(base_strings.keys() & post_strings.keys()):
        if base_strings[i] != post_strings[i]:
            raise PairError(
                f"Token id {i} is {base_strings[i]!r} in base's tokenizer and {post_strings[i]!r} "
                f"in post's, so the same ids would be different texts to the two models. "
                f"{_renaming(base, post)}"
            )
    base_ids = {string: i for i, string in base_strings.items()}
    post_ids = post.get_vocab()
    for string in () if base_ids == post_ids else sorted(base_ids.keys() & post_ids.keys()):
        if base_ids[string] != post_ids[string]:
            raise PairError(
                f"Token {string!r} has id {base_ids[string]} in base's tokenizer and "
                f"{post_ids[string]} in post's, so the models would read one text as different "
                "ids. Load each model with the tokenizer it was trained with."
            )
    base_adds, post_adds = adds_bos(base), adds_bos(post)
    if base_adds != post_adds and loading.adds_bos is None:
        raise PairError(
            f"Base's tokenizer {_does(base_adds)} a bos token to text and post's "
            f"{_does(post_adds)}, so one of the models would see a first token it was not trained "
            "on. Pass adds_bos=True or False for both, whichever the texts are to be."
        )
    both_add = base_adds and post_adds or loading.adds_bos
    known = {str(i) for i in (base.bos_token_id, post.bos_token_id) if i is not None}
    if loading.adds_bos and not known:
        raise PairError(
            "adds_bos is True and neither tokenizer has a bos token, so there is none to add. Set "
            "bos_token on one of them."
        )
    if both_add and len(known) > 1:
        raise PairError(
            f"Base's tokenizer begins text with {base.bos_token!r} (id {base.bos_token_id}) and "
            f"post's with {post.bos_token!r} (id {post.bos_token_id}), so the models would not see "
            "the same ids. Save one of the tokenizers with the other's bos token and load the pair "
            "again."
        )
    notes = [f"Post calls base's token {a!r} {b!r}." for a, b in renamed.items()]
    return notes + _differences(base, post, base_strings, post_strings)


def _check_renamed(base: Tokenizer, post: Tokenizer, renamed: Mapping[str, str]) -> None:
    """Refuse a map of names that the tokenizers do not bear out."""
    ours, theirs = base.get_vocab(), post.get_vocab()
    for old, new in renamed.items():
        if ours.get(old) is None or ours.get(old) != theirs.get(new):
            raise PairError(
                f"renamed_tokens says that post calls base's {old!r} {new!r}, and their ids are "
                f"{ours.get(old)} in base and {theirs.get(new)} in post, so they are not one "
                "token. Correct the map."
            )


def _renaming(base: Tokenizer, post: Tokenizer) -> str:
    """What to do about an id with two strings: a map, where all such are special tokens."""
    ours, theirs = token_strings(base), token_strings(post)
    differing = [i for i in sorted(ours.keys() & theirs.keys()) if ours[i] != theirs[i]]
    special = [set(_special(tokenizer)) for tokenizer in (base, post)]
    if all(i in ids for i in differing for ids in special):
        named = ", ".join(f"{ours[i]!r}: {theirs[i]!r}" for i in differing[:4])
        more = ", …" if len(differing) > 4 else ""
        return (
            f"{len(differing)} special token(s) differ so; if post only renamed them, pass "
            f"Loading(renamed_tokens={{{named}{more}}})."
        )
    return "Load each model with the tokenizer it was trained with; a pair needs one vocabulary."


def _special(tokenizer: Tokenizer) -> list[int]:
    """Ids of special and added tokens."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return [*added, *tokenizer.all_special_ids]


def _does(adds: bool) -> str:
    """Verb for a bos policy."""
    return "adds" if adds else "does not add"


def _differences(
    base: Tokenizer, post: Tokenizer, base_strings: dict[int, str], post_strings: dict[int, str]
) -> list[str]:
    """Sentences about what differs between two tokenizers and may stay."""
    notes = []
    for name, mine, other in (
        ("post", post_strings, base_strings),
        ("base", base_strings, post_strings),
    ):
        only = sorted(mine.keys() - other.keys())
        if only:
            shown = ", ".join(repr(mine[i]) for i in only[:4]) + (", …" if len(only) > 4 else "")
            notes.append(f"Only {name}'s tokenizer knows {len(only)} token(s): {shown}.")
    if base.encode(_PROBE, add_special_tokens=False) != post.encode(
        _PROBE, add_special_tokens=False
    ):
        notes.append(
            "The tokenizers have one vocabulary but split text by different rules; plain text is "
            "read by base's for both models."
        )
    for role in ("eos_token", "pad_token"):
        ours, theirs = getattr(base, role), getattr(post, role)
        if ours != theirs:
            notes.append(f"{role} is {ours!r} in base's tokenizer and {theirs!r} in post's.")
    return notes + _template_notes(base, post)


def _template_notes(base: Tokenizer, post: Tokenizer) -> list[str]:
    """A sentence about the chat templates if they are not one and the same."""
    ours, theirs = base.chat_template, post.chat_template
    if ours == theirs:
        return []
    if ours is None:
        return ["Only post has a chat template; templated text uses it for both models."]
    if theirs is None:
        return ["Only base has a chat template; templated text uses it for both models."]
    return [
        f"The chat templates differ (base: {_start(ours)}; post: {_start(theirs)}); templated text "
        "uses post's for both models."
    ]


def _start(template: object, limit: int = 60) -> str:
    """The beginning of a template, quoted."""
    text = template if isinstance(template, str) else str(template)
    return repr(text if len(text) <= limit else text[:limit] + "…")


def align(
    base: Tokenizer, post: Tokenizer, loading: Loading = Loading(), *, d_vocab: int
) -> Alignment:
    """The one way in which text becomes ids for a pair of checked tokenizers.

    `d_vocab`: ids below this have a row in both models.
    """
    owner = "post" if post.chat_template is not None else "base"
    owning = post if owner == "post" else base
    template = owning.chat_template
    if isinstance(template, dict):  # several named templates: the default one is for conversations
        template = template.get("default")
    # Hugging Face annotates every special token's id as any of four types; it is a number or None.
    fitting = cast(
        tuple[int | None, ...], (base.pad_token_id, post.pad_token_id, base.eos_token_id)
    )
    padding = next((i for i in fitting if i is not None and i < d_vocab), 0)
    return Alignment(
        tokenizer=base,
        template_tokenizer=owning,
        chat_template=template,
        template_owner=owner if template is not None else "none",
        adds_bos=adds_bos(base) if loading.adds_bos is None else loading.adds_bos,
        bos_id=cast(
            int | None, post.bos_token_id if base.bos_token_id is None else base.bos_token_id
        ),
        pad_id=padding,
        d_vocab=d_vocab,
        separator=loading.separator,
        date=_day(loading.template_date),
    )


def _day(date: str) -> str:
    """A date as it is stored, refused if it is none."""
    try:
        return datetime.date.fromisoformat(date).isoformat()
    except ValueError as error:
        raise PairError(
            f"template_date is {date!r}, which is no day, so a chat template could not write it. "
            "Pass one as YYYY-MM-DD."
        ) from error
