"""Continue rows of text in batches, each checkpointed when done."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.edits import Edit, Edited, EditError, active
from elicit.engines import engine_of
from elicit.pair import Encoded, Side, device_of, hugging_face_model, is_offloaded, weights_digest
from elicit.results import digest_json
from elicit.rollouts._cache import check_cache
from elicit.rollouts._edits_digest import edits_digest
from elicit.rollouts._engine import from_engine
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.loop import TokenDraws, continue_ids
from elicit.rollouts.streams import stream_key
from elicit.rollouts.values import Sampling
from elicit.runs import Execution, NoCheckpoint
from elicit.tasks import Task

EditsAt = Callable[[Float[Tensor, " row"]], Sequence[Edit]]
"""Edits of a batch from the strength of each of its rows."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A text generated so far."""

    problem: str
    """Id of its problem."""
    place: int
    """Number of the problem in the task."""
    sample: int
    """Number of the text among those of its problem."""
    prompt: tuple[int, ...]
    """Token ids before the text."""
    text: tuple[int, ...]
    """Token ids of the text so far."""
    strength: float | None = None
    """Strength of the edits on it."""
    other_prompts: tuple[tuple[int, ...], ...] = ()
    """Prompt of each further model that reads the text; empty: the same one."""


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Continues texts of a model in independent batches."""

    side: Side
    """The model, alone, grafted or under edits."""
    sampling: Sampling
    """How tokens are drawn."""
    batch_size: int
    """Rows a batch."""
    edits_at: EditsAt | None
    """Edits from strengths; None where rows have none."""
    execution: Execution
    """Checkpoint of finished batches, and progress."""

    def __post_init__(self) -> None:
        """Refuse edits that would not reach their rows."""
        check_cache(hugging_face_model(self.model))
        vocabulary = getattr(hugging_face_model(self.model).config, "vocab_size", None)
        for stop in self.sampling.stop_ids:
            if stop < 0 or (vocabulary is not None and stop >= vocabulary):
                raise RolloutError(
                    f"stop_ids has {stop} and the model has ids 0 to {vocabulary} without the "
                    "last, so no text could end there. Pass ids of tokens."
                )
        bound = [what for block in self._blocks() for what in block.for_one_batch]
        if bound:
            raise RolloutError(
                f"the model is under {bound[0]}, which differs from row to row, and rows are "
                "rebatched here, so it would reach the wrong rows. Use one scale, vector or "
                "position for all rows, or dose_rollouts for different strengths."
            )

    @property
    def model(self) -> nn.Module:
        """The model."""
        return self.side.bridge

    @property
    def n_ids(self) -> int:
        """Ids that may be written are below this."""
        return self.side.alignment.d_vocab

    def other_prompts(self, task: Task) -> list[tuple[tuple[int, ...], ...]]:
        """Of every problem, the prompt of each further model that reads its texts."""
        return [()] * len(task)

    def write(self, rows: Sequence[Row]) -> list[tuple[int, ...]]:
        """Continue every row to its end.

        `rows`: where each begins; one that has ended, or has no room, stays as it is.
        """
        texts = [row.text for row in rows]
        for places, found in self.parts(rows):
            new = found["written"].split(found["n_tokens"].tolist())
            for place, ids in zip(places, new, strict=True):
                texts[place] = (*texts[place], *ids.tolist())
        return texts

    def parts(self, rows: Sequence[Row]) -> list[tuple[list[int], dict[str, Tensor]]]:
        """New tokens of all rows, batch by batch, with the numbers of its rows.

        `rows`: see `write`; rows that have ended are in no batch.
        """
        batches = self._batches(rows)
        parts: list[tuple[list[int], dict[str, Tensor]]] = []
        progress = self.execution.progress
        origin = "" if isinstance(self.execution.checkpoint, NoCheckpoint) else self._origin()
        progress.start(len(rows), "rollouts")
        try:
            progress.advance(len(rows) - sum(map(len, batches)))
            made: list[Bool[Tensor, " edit"]] = []
            for places in batches:
                batch = [rows[place] for place in places]
                found = self._cell(batch, origin)
                made.append(found["made"])
                parts.append((places, found))
                progress.advance(len(batch))
        finally:
            progress.stop()
        self._check_dosed(made, rows)
        return parts

    def _blocks(self) -> tuple[Edited, ...]:
        """All blocks of edits in force on the model."""
        inner = active(self.model)
        return () if inner is None else inner.stack

    def _room(self, row: Row) -> int:
        """Remaining tokens of a row."""
        if row.text and row.text[-1] in self.sampling.stop_ids:
            return 0
        limit, longest = self.side.n_positions, self.sampling.max_new_tokens
        if limit is not None:
            longest = min(longest, limit - len(row.prompt))
        return max(longest - len(row.text), 0)

    def _batches(self, rows: Sequence[Row]) -> list[list[int]]:
        """Indices of unfinished rows, grouped by similar length."""
        going = [place for place, row in enumerate(rows) if self._room(row)]
        going.sort(key=lambda place: len(rows[place].prompt) + len(rows[place].text))
        size = self.batch_size
        return [going[first : first + size] for first in range(0, len(going), size)]

    def _origin(self) -> str:
        """Digest of what all batches depend on: weights and edits in force."""
        edits = [edit for block in self._blocks() for edit in block.edits]
        engine = engine_of(self.model)
        served = [] if engine is None else [engine.name]
        # Weights that are kept elsewhere cannot be swapped, so they are those that were loaded.
        digest = self.side.digest if is_offloaded(self.model) else weights_digest(self.model)
        return digest_json([digest, edits_digest(edits), *served])

    def _cell(self, batch: Sequence[Row], origin: str) -> dict[str, Tensor]:
        """New tokens of a batch, computed or checkpointed, with the edits that fired in it."""
        strengths = torch.tensor([row.strength or 0.0 for row in batch])
        edits = () if self.edits_at is None else tuple(self.edits_at(strengths))
        if not origin:
            return self._compute(batch, edits)
        key = {
            "origin": origin,
            "edits": edits_digest(edits),
            "sampling": asdict(self.sampling),
            "rows": [asdict(row) for row in batch],
        }
        ran: list[bool] = []

        def compute() -> dict[str, Tensor]:
            ran.append(True)
            return self._compute(batch, edits)

        result = self.execution.checkpoint.get_or_compute(f"rollouts-{digest_json(key)}", compute)
        if not ran:
            # Edits of outer blocks fired in an earlier process, and count as fired here.
            self._record(result["made"].tolist())
        return result

    def _compute(self, batch: Sequence[Row], edits: Sequence[Edit]) -> dict[str, Tensor]:
        """New tokens of a batch, and which edits fired in it."""
        model = hugging_face_model(self.model)
        padded = self.side.alignment.pad([row.prompt + row.text for row in batch], padding="left")
        padded = padded.to(device_of(model))
        rooms = [self._room(row) for row in batch]
        with ExitStack() as hooks:
            if self.edits_at is not None:
                Edited(self.model, edits, None).install(hooks)
            before = self._swap([False] * self._n_edits())
            found = self._continued(model, padded, rooms, batch)
            made = self._swap(before)
            self._record(made)
        return {**found, "made": torch.tensor(made, dtype=torch.bool)}

    def _ended(self, new: Int[Tensor, "row new"], rooms: Sequence[int]) -> dict[str, Tensor]:
        """New tokens of a batch up to each row's stop token, one row after the other.

        `rooms`: maximum new tokens of each row.
        """
        written = [
            _until_stop(row[:room], self.sampling.stop_ids)
            for row, room in zip(new.tolist(), rooms, strict=True)
        ]
        return {
            "written": torch.tensor([i for row in written for i in row], dtype=torch.long),
            "n_tokens": torch.tensor([len(row) for row in written]),
        }

    def _continued(
        self, model: nn.Module, padded: Encoded, rooms: list[int], batch: Sequence[Row]
    ) -> dict[str, Tensor]:
        """New tokens of a batch (see `_ended`), and what else is kept of them."""
        sampling = self.sampling
        blocks = self._blocks()
        edits = [edit for block in blocks for edit in block.edits]
        served = from_engine(self.model, edits, sampling, rooms, batch)
        if served is not None:
            self._swap([True] * len(edits))
            return served
        new = continue_ids(
            model,
            padded.ids,
            padded.mask,
            max_new_tokens=rooms,
            stop_ids=sampling.stop_ids,
            pad_id=self.side.alignment.pad_id,
            draws=TokenDraws(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seeds=[stream_key(sampling.seed, row.problem, row.sample) for row in batch],
                n_written=[len(row.text) for row in batch],
            ),
        )
        return self._ended(new, rooms)

    def _n_edits(self) -> int:
        """Number of edits in all blocks."""
        return sum(len(block.edits) for block in self._blocks())

    def _swap(self, made: Sequence[bool]) -> list[bool]:
        """Replace the records of fired edits of all blocks, outermost first."""
        before: list[bool] = []
        for block in self._blocks():
            begin = len(before)
            before.extend(block.swap_made(made[begin : begin + len(block.edits)]))
        return before

    def _record(self, made: Sequence[bool]) -> None:
        """Add to the records of fired edits."""
        n_edits = self._n_edits()
        before = self._swap([False] * n_edits)
        self._swap([old or new for old, new in zip(before, made[:n_edits], strict=True)])

    def _check_dosed(self, made: Sequence[Bool[Tensor, " edit"]], rows: Sequence[Row]) -> None:
        """Refuse edits by strength that fired in no batch."""
        if self.edits_at is None or not made:
            return
        edits = self.edits_at(torch.tensor([rows[0].strength or 0.0]))
        ever = torch.stack(list(made)).any(0)[self._n_edits() :].tolist()
        missed = [str(edit) for edit, was in zip(edits, ever, strict=True) if not was]
        if missed:
            raise EditError(
                f"{'; '.join(missed)} was never made in any batch: its tokens never came up, so "
                "the outcome is that of the model without it. Check where=."
            )


def _until_stop(ids: list[int], stop_ids: Sequence[int]) -> list[int]:
    """A row's tokens up to its stop token."""
    return ids[: next((at + 1 for at, token in enumerate(ids) if token in stop_ids), len(ids))]
