"""Texts cut at a token and resampled, and read where they are new."""

from collections.abc import Callable, Sequence

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.features._positions import Cut
from elicit.features._reading import Rows, blocks, rows_of
from elicit.features.sae import Sae
from elicit.pair import ModelPair, Side, hugging_face_model, weights_digest
from elicit.results import digest_json
from elicit.rollouts import Generation, continue_ids
from elicit.rollouts.drawing import stream_key
from elicit.runs import Execution

Continuations = list[list[list[int]]]
"""New tokens of every sample of every cut."""


def resample(
    side: Side,
    rows: Rows,
    cuts: Sequence[Cut],
    *,
    generation: Generation,
    seed: int,
    execution: Execution = Execution(),
) -> Continuations:
    """Sample texts anew from cuts; the tokens depend on what is before the cut and the seed alone.

    Args:
        side: The model that continues.
        rows: Texts.
        cuts: Where each is cut.
        generation: Samples a cut, their length and temperature.
        seed: Of all random streams.
        execution: Checkpoint and progress.
    """
    prefixes = [rows.rows[row][:pos] for row, pos in cuts]
    order = [(i, sample) for i in range(len(cuts)) for sample in range(generation.n_samples)]
    order.sort(key=lambda at: len(prefixes[at[0]]))
    found: Continuations = [[[] for _ in range(generation.n_samples)] for _ in cuts]
    stop_ids, origin = generation.stops(side), weights_digest(side.bridge)
    progress = execution.progress
    progress.start(len(order), "resampling texts")
    try:
        for start in range(0, len(order), generation.batch_size):
            batch = order[start : start + generation.batch_size]
            inputs = {
                "origin": origin,
                "prefixes": [prefixes[i] for i, _ in batch],
                "samples": [sample for _, sample in batch],
                "how": [
                    generation.max_new_tokens,
                    generation.temperature,
                    generation.top_p,
                    list(stop_ids),
                    seed,
                ],
            }
            kept = execution.checkpoint.get_or_compute(
                f"resample-{digest_json(inputs)}",
                _computed(side, [(prefixes[i], sample) for i, sample in batch], generation, seed),
            )
            new = kept["written"].split(kept["n_tokens"].tolist())
            for (i, sample), ids in zip(batch, new, strict=True):
                found[i][sample] = ids.tolist()
            progress.advance(len(batch))
    finally:
        progress.stop()
    return found


def _computed(
    side: Side, batch: Sequence[tuple[list[int], int]], generation: Generation, seed: int
) -> Callable[[], dict[str, Tensor]]:
    """New tokens of one batch of prefixes and sample numbers, computed when called."""
    stop_ids, limit = generation.stops(side), side.n_positions
    lengths = [
        generation.max_new_tokens
        if limit is None
        else min(generation.max_new_tokens, limit - len(prefix))
        for prefix, _ in batch
    ]

    def compute() -> dict[str, Tensor]:
        padded = side.alignment.pad([prefix for prefix, _ in batch], padding="left")
        padded = padded.to(next(side.bridge.parameters()).device)
        new = continue_ids(
            hugging_face_model(side.bridge),
            padded.ids,
            padded.mask,
            max_new_tokens=lengths,
            stop_ids=stop_ids,
            pad_id=side.alignment.pad_id,
            temperature=generation.temperature,
            top_p=generation.top_p,
            seeds=[stream_key(seed, digest_json(prefix), sample) for prefix, sample in batch],
        ).tolist()
        kept = []
        for ids, length in zip(new, lengths, strict=True):
            ends = (at + 1 for at, token in enumerate(ids) if token in stop_ids)
            kept.append(ids[: min(next(ends, len(ids)), length)])
        return {
            "written": torch.tensor([i for ids in kept for i in ids], dtype=torch.long),
            "n_tokens": torch.tensor([len(ids) for ids in kept]),
        }

    return compute


def largest_activations(
    pair: ModelPair,
    side: Side,
    sae: Sae,
    rows: Rows,
    continuations: dict[Cut, list[list[int]]],
    features: Sequence[int],
    *,
    execution: Execution = Execution(),
) -> Float[Tensor, "cut sample feature"]:
    """Largest activation of features on the new tokens of every sample; 0 where none counts.

    Args:
        pair: Base and post.
        side: The model.
        sae: Whose features.
        rows: Texts.
        continuations: New tokens of every sample of every cut, as many of each.
        features: Which features.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    n_samples = len(next(iter(continuations.values()), []))
    if not n_samples:
        return torch.zeros(0, 0, len(features))
    whole = [
        [*rows.rows[row][:pos], *ids]
        for (row, pos), samples in continuations.items()
        for ids in samples
    ]
    texts = rows_of(pair, whole)
    begins = repeat(torch.tensor([pos for _, pos in continuations]), "cut -> (cut n)", n=n_samples)
    new: Bool[Tensor, " token"] = texts.counted & (texts.pos >= begins[texts.row])
    found = torch.zeros(len(whole), len(features))
    if bool(new.any()):
        for block in blocks(side, sae, texts, counted=new, execution=execution):
            acts = block.acts[:, list(features)].float().cpu()
            row = repeat(texts.row[block.index], "token -> token feature", feature=len(features))
            found.scatter_reduce_(0, row, acts, "amax")
    return rearrange(found, "(cut sample) feature -> cut sample feature", sample=n_samples)
