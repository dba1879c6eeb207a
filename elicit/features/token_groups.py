"""Reasoning words as token sequences, and where they occur in texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from elicit.features._reading import Rows, rows_of
from elicit.features.errors import FeatureError
from elicit.pair import ModelPair

REASONING_WORDS: Mapping[str, tuple[str, ...]] = {
    "alternatively": ("alternatively", "Alternatively"),
    "hmm": ("hmm", "Hmm"),
    "maybe": ("maybe", "Maybe"),
    "wait": ("wait", "Wait"),
    "perhaps": ("perhaps", "Perhaps"),
    "let me": ("let me", "Let me"),
    "therefore": ("therefore", "Therefore"),
    "however": ("however", "However"),
    "but": ("But",),
    "another": ("Another",),
}
"""The ten words of Galichin et al. 2025, arXiv:2503.18878."""


@dataclass(frozen=True)
class TokenGroups:
    """Groups of token sequences that spell the same word."""

    group: tuple[str, ...]
    """Name of each group."""
    sequences: tuple[tuple[tuple[int, ...], ...], ...]
    """Token ids of each spelling in each group."""

    def __post_init__(self) -> None:
        """Refuse empty groups.

        Raises:
            FeatureError: There are fewer than two groups, or a group has no tokens.
        """
        if len(self.group) < 2 or len(self.group) != len(self.sequences):
            raise FeatureError(
                f"there are {len(self.group)} groups and {len(self.sequences)} lists of tokens, "
                "but an entropy over groups needs at least two. Pass more groups."
            )
        for name, sequences in zip(self.group, self.sequences, strict=True):
            if not sequences or not all(sequences):
                raise FeatureError(
                    f"the group {name!r} has no tokens, so it has no mean. Use spellings that "
                    "the tokenizer knows, or leave it out."
                )

    def present_in(self, pair: ModelPair, rows: Sequence[Sequence[int]]) -> "TokenGroups | None":
        """Groups that occur in texts; None if fewer than two do."""
        tokens = rows_of(pair, rows)
        there = [
            (name, sequences)
            for name, sequences in zip(self.group, self.sequences, strict=True)
            if any(len(_starts(tokens, sequence)) for sequence in sequences)
        ]
        if len(there) < 2:
            return None
        return TokenGroups(tuple(name for name, _ in there), tuple(ids for _, ids in there))

    def windows(self, rows: Rows, *, left: int, right: int) -> Bool[Tensor, "group token"]:
        """Whether each token that counts is near a word of each group.

        Args:
            rows: Texts.
            left: Tokens before a word that count as near it.
            right: Tokens after it.

        Raises:
            FeatureError: A side is below 0, or a group occurs nowhere.
        """
        if left < 0 or right < 0:
            raise FeatureError(
                f"the window is {left} to the left and {right} to the right, but neither may be "
                "negative. Pass 0 or more."
            )
        n = len(rows)
        result = torch.zeros(len(self.group), n, dtype=torch.bool)
        for g, sequences in enumerate(self.sequences):
            for sequence in sequences:
                for start in _starts(rows, sequence).tolist():
                    row = int(rows.row[start])
                    first = int(rows.first[row])
                    end = first + len(rows.rows[row])
                    low, high = start - left, start + len(sequence) + right
                    result[g, max(low, first) : min(high, end)] = True
        result &= rows.counted
        nowhere = [self.group[g] for g in range(len(result)) if not bool(result[g].any())]
        if nowhere:
            raise FeatureError(
                f"{len(rows.rows)} rows have no token of {', '.join(map(repr, nowhere))}. Pass "
                "more rows, or leave these groups out."
            )
        return result


def token_groups(
    pair: ModelPair, words: Mapping[str, Sequence[str]] = REASONING_WORDS
) -> TokenGroups:
    """Words as token sequences of the pair, each with and without a leading space.

    Args:
        pair: Base and post.
        words: Spellings of each group, without surrounding white space.

    Raises:
        FeatureError: A group has no spelling that the tokenizer knows, or two groups share one.
    """
    tokenizer = pair.tokenizer
    unknown = getattr(tokenizer, "unk_token_id", None)
    result: dict[str, list[tuple[int, ...]]] = {}
    owner: dict[tuple[int, ...], str] = {}
    for name, spellings in words.items():
        result[name] = []
        for text in (spelt for word in spellings for spelt in (word, f" {word}")):
            ids = tuple(int(i) for i in tokenizer.encode(text, add_special_tokens=False))
            if not ids or unknown in ids or ids in result[name]:
                continue
            if owner.setdefault(ids, name) != name:
                raise FeatureError(
                    f"{text!r} is in both {name!r} and {owner[ids]!r}, so it would count twice. "
                    "Put it in one group."
                )
            result[name].append(ids)
    return TokenGroups(tuple(result), tuple(tuple(ids) for ids in result.values()))


def known_words(
    pair: ModelPair, words: Mapping[str, Sequence[str]] = REASONING_WORDS
) -> dict[str, tuple[str, ...]]:
    """Groups of words of which the pair's tokenizer knows a spelling."""
    unknown = getattr(pair.tokenizer, "unk_token_id", None)

    def knows(text: str) -> bool:
        ids = pair.tokenizer.encode(text, add_special_tokens=False)
        return bool(ids) and unknown not in ids

    return {
        name: tuple(spellings)
        for name, spellings in words.items()
        if any(knows(form) for word in spellings for form in (word, f" {word}"))
    }


def _starts(rows: Rows, sequence: tuple[int, ...]) -> Tensor:
    """Indices of the tokens at which a sequence begins, within one row."""
    n = len(rows) - len(sequence) + 1
    if n < 1:
        return torch.zeros(0, dtype=torch.long)
    same = rows.row[:n] == rows.row[len(sequence) - 1 :]
    for i, requested in enumerate(sequence):
        same &= rows.ids[i : n + i] == requested
    return same.nonzero()[:, 0]
