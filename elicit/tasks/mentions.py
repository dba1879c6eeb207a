"""Where a text names one of several candidates.

A candidate that is a number is named by a number of the same value that stands for itself: 12 is
not named in `312`, `1.2`, `-12` or `12:30`, but is in `12.0`, `$12` and `12.`. Any other candidate
is named where it stands as whole words, with any white space between them. Case does not matter,
except for single letters (a choice `A` is not the article) and for candidates that differ in case
alone.
A name inside a longer one (York in New York) does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from elicit.tasks.answers import parse_number
from elicit.tasks.numbers import ends_word, is_signed, numbers, plain, starts_word


@dataclass(frozen=True, kw_only=True)
class Mention:
    """One candidate named in one place."""

    start: int
    """First character, in the text with white space collapsed."""
    end: int
    """One past the last character."""
    candidate: str
    """The candidate as the task spells it."""


def mentions(text: str, candidates: Sequence[str]) -> list[Mention]:
    """Every place where a candidate is named, from left to right.

    `candidates`: names to look for, as the task spells them.
    """
    text = _collapsed(text)
    folded = _folded(text)
    spelled = {candidate: _collapsed(candidate) for candidate in candidates}
    common = [_folded(name) for name in spelled.values()]
    values = {parse_number(candidate): candidate for candidate in candidates}
    values.pop(None, None)
    found = [
        Mention(start=number.start, end=number.end, candidate=values[number.value])
        for number in numbers(text)
        if values and number.value in values and not number.glued
    ]
    for candidate, name in spelled.items():
        if candidate in values.values():
            continue
        exact = (len(name) == 1 and name.isalpha()) or common.count(_folded(name)) > 1
        searched, sought = (text, name) if exact else (folded, _folded(name))
        start = searched.find(sought)
        while start >= 0:
            if _whole(text, start, start + len(sought)):
                end = start + len(sought)
                found.append(Mention(start=start, end=end, candidate=candidate))
            start = searched.find(sought, start + 1)
    return _outermost(found)


def last_mention(text: str, candidates: Sequence[str]) -> str | None:
    """The candidate named last, or None if none is."""
    found = mentions(text, candidates)
    return found[-1].candidate if found else None


def first_mention(text: str, candidates: Sequence[str]) -> str | None:
    """The candidate named first, or None if none is."""
    found = mentions(text, candidates)
    return found[0].candidate if found else None


def _outermost(found: list[Mention]) -> list[Mention]:
    """Mentions that lie in no other; of two in the same place, the first candidate's."""
    kept: list[Mention] = []
    for mention in sorted(found, key=lambda mention: (mention.start, -mention.end)):
        if not kept or mention.end > kept[-1].end:
            kept.append(mention)
    return kept


def _whole(text: str, start: int, end: int) -> bool:
    """Whether a name between two places runs on neither to the left nor to the right."""
    if start > 0 and text[start].isalpha() and text[start - 1] == "\\":  # a LaTeX command
        return False
    if text[start].isdigit() and (
        is_signed(text, start)
        or (start > 1 and text[start - 1] in ".,:/" and text[start - 2].isdigit())
    ):
        return False
    if text[end - 1].isdigit() and text[end : end + 1] in tuple(".,:/"):
        return not text[end + 1 : end + 2].isdigit()
    return starts_word(text, start) and ends_word(text, end)


def _collapsed(text: str) -> str:
    return " ".join(plain(text).split())


def _folded(text: str) -> str:
    """Text in one case, character by character, so that every place stays where it is."""
    return "".join(
        folded if len(folded := character.casefold()) == 1 else character for character in text
    )
