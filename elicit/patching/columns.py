"""Columns of a grid: the patched positions, resolved for every problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from elicit.patching.contrast import Contrast
from elicit.patching.errors import PatchError
from elicit.results import minus

Spans = Mapping[str, Sequence[tuple[int, int]]]
Positions = Literal["each", "all", "last"] | Sequence[int] | Spans
"""`each` position alone, `all` at once, the `last` one, indices (negative: from the end), or named
spans: for every problem the first position and the one after the last."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Columns:
    """Columns of a grid."""

    label: tuple[str, ...]
    """`all`, the name of a span, or a position, with its token if all prompts share it."""
    span: Int[Tensor, "problem pos two"]
    """First position of each column and the one after its last, in each problem's prompt."""
    whole: bool = False
    """Whether the only column is every position, the answer's included."""


def shown_pos(label: str) -> str:
    """A column's label as it is shown: its number with a typographic minus, its token as it is.

    >>> shown_pos("-1 -5"), shown_pos("all")
    ('−1 -5', 'all')
    """
    place, space, token = label.partition(" ")
    return f"{minus(place)}{space}{token}"


def resolve(positions: Positions, contrast: Contrast) -> Columns:
    """Columns for the requested positions.

    If prompts differ in length, `each` counts from the end, up to the shortest prompt's length, so
    that positions of different prompts correspond.

    Raises:
        PatchError: A prompt lacks a position, or none is requested.
    """
    lengths = [len(row) for row in contrast.clean]
    if isinstance(positions, Mapping):
        return _named(positions, contrast, lengths)
    if positions == "all":
        span = torch.tensor([[[0, n]] for n in lengths])
        return Columns(label=("all",), span=span, whole=True)
    if positions == "each":
        same = len(set(lengths)) == 1
        places = list(range(lengths[0])) if same else list(range(-min(lengths), 0))
    elif isinstance(positions, str):
        if positions != "last":
            raise PatchError(
                f"positions is {positions!r}. Pass 'each', 'all', 'last', indices, or named spans."
            )
        places = [-1]
    else:
        places = list(positions)
    if not places or len(set(places)) < len(places):
        raise PatchError(
            f"positions are {places}, so the grid would have no column, or a duplicate. Name each "
            "position once."
        )
    for place in places:
        for name, n in zip(contrast.id, lengths, strict=True):
            if not -n <= place < n:
                raise PatchError(
                    f"position {place} is requested and the prompt of problem {name!r} has {n} "
                    f"tokens, so there is nothing to patch. Pass {-n} to {n - 1}, or leave the "
                    "problem out."
                )
    starts = torch.tensor([[p if p >= 0 else n + p for p in places] for n in lengths])
    twins = [
        (places[one], places[two])
        for one in range(len(places))
        for two in range(one)
        if torch.equal(starts[:, one], starts[:, two])
    ]
    if twins:
        raise PatchError(
            f"positions {twins[0][1]} and {twins[0][0]} are the same in every prompt, so the grid "
            "would have it twice. Name each position once."
        )
    labels = tuple(_label(place, contrast) for place in places)
    return Columns(label=labels, span=torch.stack([starts, starts + 1], dim=-1))


def _label(place: int, contrast: Contrast) -> str:
    words = {row[place] for row in contrast.words}
    return f"{place} {words.pop()}" if len(words) == 1 else str(place)


def _named(spans: Spans, contrast: Contrast, lengths: list[int]) -> Columns:
    if not spans:
        raise PatchError("positions name no span, so the grid would be empty. Name at least one.")
    rows: list[list[tuple[int, int]]] = [[] for _ in lengths]
    for name, given in spans.items():
        if len(given) != len(lengths):
            raise PatchError(
                f"the span {name!r} is given for {len(given)} problems and the contrast has "
                f"{len(lengths)}, so they cannot be matched. Give one span per problem."
            )
        for row, (low, high), n, problem in zip(rows, given, lengths, contrast.id, strict=True):
            if not 0 <= low < high <= n:
                raise PatchError(
                    f"the span {name!r} of problem {problem!r} is [{low}, {high}), and its prompt "
                    f"has positions 0 to {n - 1}, so nothing or padding would be patched. Pass "
                    "0 <= first < end <= length."
                )
            row.append((low, high))
    return Columns(label=tuple(spans), span=torch.tensor(rows))
