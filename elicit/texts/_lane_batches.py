"""Lanes as batches: which run together, what each token of them sees, what is read there."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.capture import (
    Decomposed,
)
from elicit.pair import Encoded
from elicit.texts.cuts import EncodedText

_FLOATS = 1 << 24
"""Logits held at a time."""


def all_but_last(texts: Sequence[EncodedText]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Row and position of every token after which another one stands."""
    row = [i for i, text in enumerate(texts) for _ in text.ids[:-1]]
    pos = [p for text in texts for p in range(len(text.ids) - 1)]
    return torch.tensor(row, dtype=torch.long), torch.tensor(pos, dtype=torch.long)


def empty(texts: Sequence[EncodedText]) -> Float[Tensor, "lane candidate"]:
    """Zeros to add up in, NaN where a lane has no such candidate."""
    counts = [len(lane.reads) for text in texts for lane in text.lanes]
    out = torch.full((len(counts), max(counts)), torch.nan, dtype=torch.float64)
    for lane, count in enumerate(counts):
        out[lane, :count] = 0.0
    return out


def packed(texts: Sequence[EncodedText], max_tokens: int) -> list[list[tuple[int, int, int]]]:
    """Lanes that run together: text, lane of the text, number of the lane; padding counted."""
    parts: list[list[tuple[int, int, int]]] = [[]]
    width: dict[int, int] = {}
    number = 0
    for text, encoded in enumerate(texts):
        for lane, leaving in enumerate(encoded.lanes):
            grown = {**width, text: width.get(text, 0) + leaving.n_nodes}
            if parts[-1] and len(grown) * max(grown.values()) > max_tokens:
                parts.append([])
                grown = {text: leaving.n_nodes}
            width = grown
            parts[-1].append((text, lane, number))
            number += 1
    return parts


def as_batch(ids: list[list[int]], positions: list[list[int]], pad_id: int) -> Encoded:
    width = max(map(len, ids))
    mask = torch.zeros(len(ids), width, dtype=torch.long)
    for row, tokens in enumerate(ids):
        mask[row, : len(tokens)] = 1
    return Encoded(padded(ids, width, pad_id), mask, padded(positions, width))


def padded(rows: list[list[int]], width: int, fill: int = 0) -> Int[Tensor, "row node"]:
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows], dtype=torch.long)


def ancestors(parents: list[list[int]], width: int) -> Bool[Tensor, "row node node"]:
    """Which nodes stand before which in their own lane; each before itself, padding too."""
    seen = torch.eye(width, dtype=torch.bool).repeat(len(parents), 1, 1)
    for row, above in enumerate(parents):
        for node, parent in enumerate(above):
            if parent >= 0:
                seen[row, node] |= seen[row, parent]
    return seen


def visible(
    model: Decomposed, longest: int, pad_id: int
) -> tuple[Bool[Tensor, "pos pos"] | None, ...]:
    """Which positions see which in each layer; None where every later one sees every earlier."""
    ids = torch.full((1, longest), pad_id, device=model.device)
    where = torch.arange(longest, device=model.device)[None]
    masks = model.begin(ids, torch.ones_like(ids), where).allowed
    known: dict[int, Bool[Tensor, "pos pos"] | None] = {}
    for mask in masks:
        if id(mask) not in known:
            causal = torch.ones_like(mask[0]).tril()
            known[id(mask)] = None if torch.equal(mask[0], causal) else mask[0]
    return tuple(known[id(mask)] for mask in masks)


def within(
    rule: Bool[Tensor, "pos pos"] | None,
    position: Int[Tensor, "row node"],
    before: Bool[Tensor, "row node src"],
    seen: Bool[Tensor, "row node node"],
) -> Bool[Tensor, "row node key"]:
    """What each token of the lanes sees: its text up to the cut, then its own lane."""
    if rule is None:
        return torch.cat([before, seen], dim=-1)
    n_text = before.shape[-1]
    columns = torch.arange(n_text, device=position.device).clamp(max=rule.shape[0] - 1)
    text = rule[position][..., columns] & before
    own = rule[position[:, :, None], position[:, None, :]] & seen
    return torch.cat([text, own], dim=-1)


def log_softmax(logits: Tensor) -> Tensor:
    return (logits if logits.dtype == torch.float64 else logits.float()).log_softmax(-1)


def add_reads(
    reads: Sequence[tuple[int, int, int, int]],
    states: Float[Tensor, "slot d_model"],
    model: Decomposed,
    out: Float[Tensor, "lane candidate"],
) -> None:
    """Add the log-probabilities that are read to their candidates."""
    step = max(1, _FLOATS // model.unembed.d_vocab)
    slot, token, lane, candidate = torch.tensor(reads).unbind(1)
    order = slot.argsort(stable=True)
    slot, token, lane, candidate = slot[order], token[order], lane[order], candidate[order]
    for low in range(0, len(states), step):
        first, last = torch.searchsorted(slot, torch.tensor([low, low + step])).tolist()
        logits = log_softmax(model.unembed.logits(states[None, low : low + step])[0])
        there = slot[first:last].to(logits.device) - low
        values = logits[there, token[first:last].to(logits.device)].double().cpu()
        out.index_put_((lane[first:last], candidate[first:last]), values, accumulate=True)
