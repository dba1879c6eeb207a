"""Both models over all texts of a ledger, chunk by chunk."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elicit.capture import unembed_of
from elicit.pair import Side
from elicit.runs import Execution
from elicit.texts import EncodedText, LaneReader, LogitBuffers
from elicit.traces.readings import read_tokens


class LedgerReader:
    """Both models over all texts, chunk by chunk."""

    def __init__(self, sides: Sequence[Side], execution: Execution) -> None:
        """Open both models for reading."""
        self.readers = [LaneReader(side) for side in sides]
        unembeds = [unembed_of(side.bridge, d_vocab=side.alignment.d_vocab) for side in sides]
        self.unembeds, self.execution = unembeds, execution

    def all(self, rows: Sequence[EncodedText], *, key: str) -> dict[str, Tensor]:
        """Everything that is read, in the order of texts."""
        execution = self.execution
        chunks = self.readers[0].chunks(rows, execution.max_tokens)
        found: list[dict[str, Tensor]] = []
        execution.progress.start(len(rows), "reading thoughts")
        try:
            for number, numbers in enumerate(chunks):
                part = [rows[i] for i in numbers]
                found.append(
                    execution.checkpoint.get_or_compute(
                        f"{key}/{number}", lambda part=part: self._chunk(part)
                    )
                )
                execution.progress.advance(len(numbers))
        finally:
            execution.progress.stop()
        return _in_order(found, chunks, rows)

    def _chunk(self, rows: Sequence[EncodedText]) -> dict[str, Tensor]:
        reads = [r.read(rows, max_tokens=self.execution.max_tokens) for r in self.readers]
        following = torch.tensor([i for row in rows for i in row.ids[1:]])
        buffers = LogitBuffers(
            self.unembeds,
            memory=self.execution.memory,
            n_finals=1,
            n_tokens=len(following),
        )
        by_token = read_tokens([read.states for read in reads], following, self.unembeds, buffers)
        width = max(read.candidate_log_prob.shape[1] for read in reads)
        lanes = torch.stack([_wide(read.candidate_log_prob, width) for read in reads])
        return {**by_token, "candidate_log_prob": lanes}


def _wide(values: Tensor, width: int) -> Tensor:
    if values.shape[1] == width:
        return values
    out = values.new_full((len(values), width), torch.nan)
    out[:, : values.shape[1]] = values
    return out


def _in_order(
    found: Sequence[dict[str, Tensor]],
    chunks: Sequence[Sequence[int]],
    rows: Sequence[EncodedText],
) -> dict[str, Tensor]:
    """Chunks put together in the order of texts, prompts summed up."""
    width = max(part["candidate_log_prob"].shape[-1] for part in found)
    by_text: dict[int, dict[str, Tensor]] = {}
    for part, numbers in zip(found, chunks, strict=True):
        token, lane = 0, 0
        for i in numbers:
            n, m = len(rows[i].ids) - 1, len(rows[i].lanes)
            by_text[i] = {
                name: value[..., token : token + n]
                for name, value in part.items()
                if name != "candidate_log_prob"
            }
            lanes = part["candidate_log_prob"][:, lane : lane + m]
            by_text[i]["candidate_log_prob"] = torch.stack([_wide(x, width) for x in lanes])
            token, lane = token + n, lane + m
    names = [name for name in by_text[0] if name != "candidate_log_prob"]
    out = {
        name: torch.cat(
            [by_text[i][name][..., row.start - 1 :] for i, row in enumerate(rows)], dim=-1
        )
        for name in names
    }
    out["prompt_log_prob"] = torch.stack(
        [by_text[i]["log_prob"][:, : row.start - 1].double().sum(-1) for i, row in enumerate(rows)],
        dim=-1,
    )
    out["candidate_log_prob"] = torch.cat(
        [by_text[i]["candidate_log_prob"] for i in range(len(rows))], dim=1
    )
    return out
