"""Texts that branch at their first token and are greedy from there on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.pair import Encoded, Side
from elicit.results import digest_json
from elicit.rollouts._cached import CachedReader
from elicit.rollouts._recorded import reader_of
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.grading import graded
from elicit.rollouts.loop import write_ids
from elicit.rollouts.prompts import check_prompts
from elicit.rollouts.values import Rollouts
from elicit.rollouts.writing import Row, Writer
from elicit.runs import Execution
from elicit.tasks import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Branched:
    """Greedy texts from each of the most probable first tokens."""

    rollouts: Rollouts
    """The texts, by problem and then by rank of the first token: that is their sample number, from
    0. Branches whose first token is too improbable are left out."""
    first_prob: Float[Tensor, " row"]
    """Probability of the first token."""
    margin: Float[Tensor, " token"]
    """Of every token of all texts, one row after the other: probability of the most probable token
    there minus that of the second."""
    n_tokens: Int[Tensor, " row"]
    """Tokens of each text."""

    def margins(self, row: int) -> Float[Tensor, " pos"]:
        """Margins of one text.

        Args:
            row: Index of the row.
        """
        end = int(self.n_tokens[: row + 1].sum())
        return self.margin[end - int(self.n_tokens[row]) : end]


def branch_rollouts(
    side: Side,
    task: Task,
    *,
    branches: int,
    min_first: float = 0.0,
    generation: Generation = Generation(),
    execution: Execution = Execution(),
) -> Branched:
    """Write greedily from each of the most probable first tokens; the first is the greedy text.

    All branches of a prompt that fit into one batch share one read of it.

    Args:
        side: The model; grafts and edits in force apply.
        task: Problems with their reference answers.
        branches: First tokens of each problem, at least 1.
        min_first: Least probability of a first token, as a share of the most probable one's, in
            [0, 1]; less probable ones are not written on.
        generation: Generation options; greedy, one text a branch.
        execution: Checkpoint and progress.

    Raises:
        RolloutError: Texts are to be sampled, there are fewer tokens than branches, or see
            `rollouts`.
        TaskError: See `rollouts`.
    """
    if generation.temperature > 0 or generation.n_samples > 1:
        raise RolloutError(
            f"texts are to be sampled at temperature {generation.temperature}, and a branch is "
            "what the model writes greedily after its first token. Pass temperature=0, n_samples=1."
        )
    d_vocab = side.alignment.d_vocab
    if not 1 <= branches <= d_vocab or not 0 <= min_first <= 1:
        raise RolloutError(
            f"branches is {branches} and min_first {min_first}, but each branch begins with "
            f"another of {d_vocab} tokens, and a share of a probability is at most 1. Pass "
            "branches of 1 or more and min_first in [0, 1]."
        )
    prompts = check_prompts(side, task, templated=generation.templated)
    rows = [
        Row(problem=problem.id, place=place, sample=rank, prompt=tuple(prompts[place]), text=())
        for place, problem in enumerate(task)
        for rank in range(branches)
    ]
    writer = _BranchWriter(
        side=side,
        sampling=generation.sampling(side, 0),
        batch_size=generation.batch_size,
        edits_at=None,
        execution=execution,
        min_first=min_first,
    )
    texts: dict[int, tuple[int, ...]] = {}
    margins: dict[int, Tensor] = {}
    probs: dict[int, Tensor] = {}
    for places, found in writer.parts(rows):
        sizes = found["n_tokens"].tolist()
        each = (part.split(sizes) for part in (found["written"], found["margin"]))
        for place, ids, margin, prob in zip(places, *each, found["first_prob"], strict=True):
            if len(ids):
                texts[place], margins[place] = tuple(ids.tolist()), margin
                probs[place] = prob
    kept = sorted(texts)
    written = graded(
        side.alignment,
        task,
        [rows[place] for place in kept],
        [texts[place] for place in kept],
        prompts=prompts,
        n_forced=[0] * len(prompts),
        sampling=writer.sampling,
        extractor=generation.extract,
    )
    return Branched(
        rollouts=written,
        first_prob=torch.stack([probs[place] for place in kept]),
        margin=torch.cat([margins[place] for place in kept]),
        n_tokens=written.n_tokens,
    )


@dataclass(frozen=True, kw_only=True)
class _BranchWriter(Writer):
    """Writes rows that differ in the rank of their first token, their sample number."""

    min_first: float

    def _origin(self) -> str:
        return digest_json(["branches", self.min_first, super()._origin()])

    def _continued(
        self, model: nn.Module, padded: Encoded, rooms: list[int], batch: Sequence[Row]
    ) -> dict[str, Tensor]:
        device = padded.ids.device
        alone = list(dict.fromkeys(row.place for row in batch))
        source = torch.tensor([alone.index(row.place) for row in batch], device=device)
        first = torch.tensor(
            [next(i for i, row in enumerate(batch) if row.place == place) for place in alone],
            device=device,
        )
        rank = torch.tensor([row.sample for row in batch], device=device)
        room = torch.tensor(rooms, device=device)
        reader = reader_of(model, padded.ids[first], padded.mask[first], [0] * len(alone))
        return self._branches(reader, source=source, rank=rank, room=room)

    @torch.no_grad()
    def _branches(
        self,
        reader: CachedReader,
        *,
        source: Int[Tensor, " row"],
        rank: Int[Tensor, " row"],
        room: Int[Tensor, " row"],
    ) -> dict[str, Tensor]:
        """New tokens of all rows, the margin at each, and the probability of the first.

        `reader`: at the end of each prompt. `source`: prompt of each row. `rank`: of its first
        token.
        """
        n_rows, longest, pad_id = len(room), int(room.max()), self.side.alignment.pad_id
        logits = reader.logits(room.new_ones(int(source.max()) + 1, dtype=torch.bool))
        if not bool(logits.amax(-1).isfinite().all()):
            raise RolloutError(
                "the logits after a prompt are not finite, so no token comes first. Use a dtype "
                "of more range, such as bfloat16 or float32."
            )
        best = logits.argmax(-1, keepdim=True)
        # Of equally probable tokens the greedy one is first, whatever a sort makes of them.
        others = logits.scatter(1, best, -torch.inf).topk(max(int(rank.max()), 1), dim=-1).indices
        token = torch.cat([best, others], dim=1)[source, rank]
        log_probs = logits.double().log_softmax(-1)
        prob, top = log_probs[source, token].exp(), log_probs.amax(-1).exp()[source]
        kept = (rank == 0) | ((prob > 0) & (prob >= self.min_first * top))
        out = torch.full((n_rows, longest), pad_id, dtype=torch.long, device=room.device)
        margin = torch.zeros(n_rows, longest, dtype=torch.float64, device=room.device)
        out[:, 0], margin[:, 0] = token, _margin(logits)[source]
        stops = torch.tensor(self.sampling.stop_ids, dtype=torch.long, device=room.device)
        live = (kept & ~torch.isin(token, stops) & (room > 1)).nonzero()[:, 0]

        def choose(each: Sequence[Tensor], rows: Tensor, step: int, _running: Tensor) -> Tensor:
            margin[live[rows], step + 1] = _margin(each[0])
            return each[0].argmax(-1)

        if len(live):
            # One read of a prompt serves all of its branches: its keys and values are copied.
            reader.keep(source[live])
            reader.append(token[live], torch.ones_like(live, dtype=torch.bool))
            more = write_ids(
                [reader],
                choose,
                room=room[live] - 1,
                stop_ids=self.sampling.stop_ids,
                pad_id=pad_id,
            )
            out[live, 1 : 1 + more.shape[1]] = more
        found = self._ended(out, (room * kept).tolist())
        within = torch.arange(longest) < found["n_tokens"][:, None]
        return {**found, "margin": margin.cpu()[within], "first_prob": prob.cpu()}


def _margin(logits: Float[Tensor, "row d_vocab"]) -> Float[Tensor, " row"]:
    """Probability of the most probable token minus that of the second."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    two = (wide.topk(2, dim=-1).values - wide.logsumexp(-1, keepdim=True)).double().exp()
    return two[:, 0] - two[:, 1]
