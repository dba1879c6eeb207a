"""Texts cut at a token and written again, each place several times, and read where they are new."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.features.reading import Rows, blocks, rows_of
from elicit.features.sae import Sae
from elicit.pair import Bridge, ModelPair, hugging_face_model, weights_digest
from elicit.results import digest_json
from elicit.rollouts import continue_ids, stream_key
from elicit.runs import Checkpoint, Execution, NoProgress, Progress

Cut = tuple[int, int]
"""A row, and the place in it of the first token that is written again."""


@dataclass(frozen=True, kw_only=True)
class Rewriting:
    """How texts are written again."""

    pair: ModelPair
    model: Bridge
    n_samples: int
    window: int
    temperature: float
    stop_ids: tuple[int, ...]
    seed: int
    batch_size: int
    max_tokens: int
    cells: Checkpoint
    progress: Progress | None

    def write(self, rows: Rows, cuts: Sequence[Cut]) -> list[list[list[int]]]:
        """New tokens of every sample of every cut; they depend on what is kept and the seed alone.

        Args:
            rows: Texts.
            cuts: Where each is cut; shorter beginnings are best beside each other.
        """
        prefixes = [rows.rows[row][:pos] for row, pos in cuts]
        asked = [(i, sample) for i in range(len(cuts)) for sample in range(self.n_samples)]
        asked.sort(key=lambda at: len(prefixes[at[0]]))
        found: list[list[list[int]]] = [[[] for _ in range(self.n_samples)] for _ in cuts]
        origin = weights_digest(self.model)
        progress = self.progress or NoProgress()
        progress.start(len(asked), "writing texts again")
        try:
            for start in range(0, len(asked), self.batch_size):
                batch = asked[start : start + self.batch_size]
                begun = [prefixes[i] for i, _ in batch]
                told = {
                    "origin": origin,
                    "prefixes": begun,
                    "samples": [sample for _, sample in batch],
                    "how": [self.window, self.temperature, list(self.stop_ids), self.seed],
                }
                kept = self.cells.get_or_compute(
                    f"again-{digest_json(told)}",
                    self._compute([prefixes[i] for i, _ in batch], batch),
                )
                new = kept["written"].split(kept["n_tokens"].tolist())
                for (i, sample), ids in zip(batch, new, strict=True):
                    found[i][sample] = ids.tolist()
                progress.advance(len(batch))
        finally:
            progress.stop()
        return found

    def _compute(
        self, prefixes: Sequence[list[int]], batch: Sequence[Cut]
    ) -> Callable[[], dict[str, Tensor]]:
        """One batch, computed where it is not kept."""

        def compute() -> dict[str, Tensor]:
            padded = self.pair.alignment.pad(prefixes, padding="left")
            padded = padded.to(next(self.model.parameters()).device)
            limit = self.pair.side("base" if self.model is self.pair.base else "post").n_positions
            rooms = [
                self.window if limit is None else min(self.window, limit - len(prefix))
                for prefix in prefixes
            ]
            new = continue_ids(
                hugging_face_model(self.model),
                padded.ids,
                padded.mask,
                max_new_tokens=rooms,
                stop_ids=self.stop_ids,
                pad_id=self.pair.alignment.pad_id,
                temperature=self.temperature,
                seeds=[
                    stream_key(self.seed, digest_json(prefix), sample)
                    for prefix, (_, sample) in zip(prefixes, batch, strict=True)
                ],
            ).tolist()
            kept = []
            for ids, room in zip(new, rooms, strict=True):
                ends = (at + 1 for at, token in enumerate(ids) if token in self.stop_ids)
                kept.append(ids[: min(next(ends, len(ids)), room)])
            return {
                "written": torch.tensor([i for ids in kept for i in ids], dtype=torch.long),
                "n_tokens": torch.tensor([len(ids) for ids in kept]),
            }

        return compute

    def largest(
        self,
        sae: Sae,
        rows: Rows,
        cuts: Sequence[Cut],
        written: Sequence[Sequence[Sequence[int]]],
        features: Sequence[int],
    ) -> Float[Tensor, "cut sample feature"]:
        """Largest activation of features on the new tokens of every sample; 0 where none counts.

        Args:
            sae: Whose features.
            rows: Texts.
            cuts: Where each was cut.
            written: New tokens of each.
            features: Which features.
        """
        if not cuts:
            return torch.zeros(0, self.n_samples, len(features))
        whole = [
            [*rows.rows[row][:pos], *ids]
            for (row, pos), samples in zip(cuts, written, strict=True)
            for ids in samples
        ]
        texts = rows_of(self.pair, whole)
        begins = torch.tensor([pos for _, pos in cuts]).repeat_interleave(self.n_samples)
        new: Bool[Tensor, " token"] = texts.counted & (texts.pos >= begins[texts.row])
        found = torch.zeros(len(whole), len(features))
        if bool(new.any()):
            read = blocks(
                self.model,
                sae,
                texts,
                pad_id=self.pair.alignment.pad_id,
                counted=new,
                execution=Execution(
                    max_tokens=self.max_tokens, progress=self.progress or NoProgress()
                ),
            )
            for block in read:
                acts = block.acts[:, list(features)].float().cpu()
                place = texts.row[block.index][:, None].expand_as(acts)
                found.scatter_reduce_(0, place, acts, "amax")
        return found.reshape(len(cuts), self.n_samples, len(features))
