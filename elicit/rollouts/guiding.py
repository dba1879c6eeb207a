"""Texts of a model that is pushed, or helped by a second model, at single tokens."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.edits import Edited, Shift, active, generated, last
from elicit.pair import Encoded, Side, device_of, hugging_face_model, weights_digest
from elicit.results import digest_json
from elicit.rollouts._cache import check_cache
from elicit.rollouts._cached import CachedReader
from elicit.rollouts._guided import Chooser, Push
from elicit.rollouts._recorded import reader_of
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.grading import graded
from elicit.rollouts.guidance import Guidance
from elicit.rollouts.loop import write_ids
from elicit.rollouts.prompts import check_prompts
from elicit.rollouts.streams import stream_key, uniforms
from elicit.rollouts.values import Rollouts
from elicit.rollouts.writing import Row, Writer
from elicit.runs import Execution
from elicit.tasks import Task

_PURPOSE = "switch\n"
"""Before a problem's id: the random switch has streams of its own, so that it moves no token."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Guided:
    """Guided texts, and at how many of their tokens something was done."""

    rollouts: Rollouts
    """The texts."""
    n_touched: Int[Tensor, " row"]
    """Tokens of each text that were decided after a push, or that the guide picked against the
    host."""
    n_changed: Int[Tensor, " row"]
    """Of these, tokens that are not what the host would have written there."""


def guided_rollouts(
    host: Side,
    task: Task,
    guidance: Guidance,
    *,
    guide: Side | None = None,
    generation: Generation = Generation(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> Guided:
    """Sample texts of a host to whose newest token a vector is added where a switch fires.

    A push stays in what later tokens see of that token, and no other token is pushed. Pushed or
    not, a token is drawn with the same random number, so that without a push the text is the
    unguided one.

    Args:
        host: Writes.
        task: Problems with their reference answers.
        guidance: Where and how it is guided.
        guide: The second model; needed for the `oracle` switch, the guardrail and reranking.
        generation: Generation options.
        seed: Seed of all random streams.
        execution: Checkpoint and progress.

    Raises:
        RolloutError: The guide is missing or under edits, or see `rollouts`.
        TaskError: See `rollouts`.
        EditError: The vector does not fit the site.

    Source: Venhoff et al. 2025, arXiv:2510.07364. There the guide also chooses between vectors and
        coefficients (here `guardrail`, off unless asked for).
    """
    if guidance.reads_guide and guide is None:
        raise RolloutError(
            f"the switch is {guidance.switch!r}, guardrail {guidance.guardrail} and rerank "
            f"{guidance.rerank}, which need what a second model would write, and none is given. "
            "Pass guide=."
        )
    if guidance.vector is not None and guidance.site is not None:
        # Refused before any text is written.
        Edited(host.bridge, [Shift(guidance.site, Push(guidance.vector), where=last())], None)
    prompts = check_prompts(host, task, templated=generation.templated)
    rows = [
        Row(problem=p.id, place=place, sample=sample, prompt=tuple(prompts[place]), text=())
        for place, p in enumerate(task)
        for sample in range(generation.n_samples)
    ]
    writer = _GuidedWriter(
        side=host,
        guidance=guidance,
        guide=guide if guidance.reads_guide else None,
        sampling=generation.sampling(host, seed),
        batch_size=generation.batch_size,
        edits_at=None,
        execution=execution,
    )
    texts: list[tuple[int, ...]] = [()] * len(rows)
    counts = torch.zeros(2, len(rows), dtype=torch.long)
    for places, part in writer.parts(rows):
        new = part["written"].split(part["n_tokens"].tolist())
        for place, ids in zip(places, new, strict=True):
            texts[place] = tuple(ids.tolist())
        counts[:, places] = torch.stack([part["n_touched"], part["n_changed"]])
    return Guided(
        rollouts=graded(
            host.alignment,
            task,
            rows,
            texts,
            prompts=prompts,
            n_forced=[0] * len(prompts),
            sampling=writer.sampling,
            extractor=generation.extract,
        ),
        n_touched=counts[0],
        n_changed=counts[1],
    )


@dataclass(frozen=True, kw_only=True)
class _GuidedWriter(Writer):
    """Writes guided texts."""

    guidance: Guidance
    guide: Side | None

    def __post_init__(self) -> None:
        """Refuse models whose state could not be kept."""
        super().__post_init__()
        if self.guide is None:
            return
        check_cache(hugging_face_model(self.guide.bridge))
        if active(self.guide.bridge) is not None and self.guide.bridge is not self.model:
            raise RolloutError(
                "the guide is under edits, and whether they were made is not recorded for a model "
                "that does not write. Guide by a model without edits, or graft what they change."
            )

    def _origin(self) -> str:
        guide = None if self.guide is None else weights_digest(self.guide.bridge)
        return digest_json(["guided", super()._origin(), self.guidance.digest, guide])

    def _room(self, row: Row) -> int:
        room, limit = super()._room(row), None if self.guide is None else self.guide.n_positions
        return room if limit is None else max(0, min(room, limit - len(row.prompt)))

    def _continued(
        self, model: nn.Module, padded: Encoded, rooms: list[int], batch: Sequence[Row]
    ) -> dict[str, Tensor]:
        self._check_switch(model, rooms, batch)
        guidance, none = self.guidance, [0] * len(batch)
        device = padded.ids.device
        push = None if guidance.vector is None else Push(guidance.vector.to(device))
        with ExitStack() as hooks:
            if push is not None and guidance.site is not None:
                edits = [Shift(guidance.site, push, where=w) for w in (last(), generated())]
                Edited(self.model, edits, None).install(hooks)
            reader = CachedReader(model, padded.ids, padded.mask, none, rereads=push is not None)
            readers = [reader]
            if self.guide is not None:
                other = hugging_face_model(self.guide.bridge)
                there = padded.to(device_of(other))
                readers.append(reader_of(other, there.ids, there.mask, none))
            chooser = Chooser(
                guidance,
                reader,
                push,
                d_vocab=self.side.alignment.d_vocab,
                temperature=self.sampling.temperature,
                top_p=self.sampling.top_p,
                uniform=self._uniforms(batch, max(rooms), "").to(device),
                chance=self._uniforms(batch, max(rooms), _PURPOSE).to(device),
            )
            new = write_ids(
                readers,
                chooser,
                room=torch.tensor(rooms, device=device),
                stop_ids=self.sampling.stop_ids,
                pad_id=self.side.alignment.pad_id,
            )
        counts = {"n_touched": chooser.n_touched.cpu(), "n_changed": chooser.n_changed.cpu()}
        return self._ended(new, rooms) | counts

    def _uniforms(
        self, batch: Sequence[Row], length: int, purpose: str
    ) -> Float[Tensor, "row length"]:
        seed = self.sampling.seed
        keys = [stream_key(seed, purpose + row.problem, row.sample) for row in batch]
        return uniforms(keys, [0] * len(batch), length)

    def _check_switch(self, model: nn.Module, rooms: list[int], batch: Sequence[Row]) -> None:
        """Refuse texts that a model reads again from their start while they are written."""
        switch = check_cache(model)
        longest = max(len(row.prompt) + room for row, room in zip(batch, rooms, strict=True))
        if self.guidance.vector is not None and switch is not None and longest > switch:
            raise RolloutError(
                f"texts may grow to {longest} tokens, and this model reads a text again from its "
                f"start at {switch}, where pushes of single tokens would be lost. Pass a smaller "
                "max_new_tokens."
            )
