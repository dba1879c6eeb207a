"""Texts of one model in which another model's tokens are taken at some places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.metrics import entropy, jsd, log_probs
from elicit.pair import Encoded, Side
from elicit.results import digest_json
from elicit.rollouts._several import SeveralWriter
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.grading import graded
from elicit.rollouts.loop import write_ids
from elicit.rollouts.prompts import check_prompts
from elicit.rollouts.values import Rollouts
from elicit.rollouts.writing import Row
from elicit.runs import Execution
from elicit.tasks import Task

TakeKind = Literal["jsd", "entropy", "places"]


@dataclass(frozen=True, kw_only=True)
class Takes:
    """Where a text takes the donor's token in place of its host's.

    Raises:
        RolloutError: The budget or the threshold is negative.
    """

    kind: TakeKind
    """`jsd`: where the models' predictions differ; `entropy`: where the host is unsure; `places`:
    at given tokens of the text."""
    budget: int | None
    """Most tokens that may differ from the host's own; None is without end."""
    threshold: float = 0.0
    """Least divergence or entropy at which a token is taken, nats."""
    places: tuple[int, ...] = ()
    """Of `places`: numbers of tokens of the text, from 0."""
    first: int = 0
    """First token that may be taken."""

    def __post_init__(self) -> None:
        """Refuse what could not be meant."""
        if self.threshold < 0 or (self.budget is not None and self.budget < 0):
            raise RolloutError(
                f"tokens are to be taken from a threshold of {self.threshold} nats on and at most "
                f"{self.budget} of them, and neither can be negative. Pass 0 or more."
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class Crossed:
    """Texts with tokens of two models, and where the donor's stand."""

    rollouts: Rollouts
    """The texts, by arm and then by problem; their sample number is that of the arm."""
    n_taken: Int[Tensor, "arm problem"]
    """Tokens of each text that are the donor's and not what the host would have written."""
    taken_row: Int[Tensor, " taken"]
    """Row of each such token."""
    taken_at: Int[Tensor, " taken"]
    """Its number in the text."""
    taken_id: Int[Tensor, " taken"]
    """The donor's token."""
    replaced_id: Int[Tensor, " taken"]
    """What the host would have written there."""


def cross_rollouts(
    host: Side,
    donor: Side,
    task: Task,
    arms: Sequence[Sequence[Takes]],
    *,
    generation: Generation = Generation(),
    execution: Execution = Execution(),
) -> Crossed:
    """Greedy texts of a host that takes a donor's tokens at some places.

    Both models read every row, each with its cache. A token of the donor counts only where the host
    would have written another one.

    Args:
        host: Writes.
        donor: Its most probable token is taken.
        task: Problems with their reference answers.
        arms: Of every arm, where the text of each problem takes tokens.
        generation: Generation options; greedy, one text a problem.
        execution: Checkpoint and progress.

    Raises:
        RolloutError: Texts are to be sampled, the donor is under edits, or see `rollouts`.
        TaskError: See `rollouts`.
    """
    if generation.temperature > 0 or generation.n_samples > 1:
        raise RolloutError(
            f"texts are to be sampled at temperature {generation.temperature}, and with two models "
            "it would not be clear whose chance decides a token. Pass temperature=0, n_samples=1."
        )
    prompts = check_prompts(host, task, templated=generation.templated)
    check_prompts(donor, task, templated=generation.templated)
    rows = [
        _Row(
            problem=problem.id,
            place=place,
            sample=arm,
            prompt=tuple(prompts[place]),
            text=(),
            takes=takes[place],
        )
        for arm, takes in enumerate(arms)
        for place, problem in enumerate(task)
    ]
    writer = _CrossWriter(
        side=host,
        others=(donor,),
        sampling=generation.sampling(host, 0),
        batch_size=generation.batch_size,
        edits_at=None,
        execution=execution,
    )
    texts: list[tuple[int, ...]] = [()] * len(rows)
    taken: list[Tensor] = []
    for places, found in writer.parts(rows):
        new = found["written"].split(found["n_tokens"].tolist())
        for place, ids in zip(places, new, strict=True):
            texts[place] = tuple(ids.tolist())
        row = torch.tensor(places)[found["taken_row"]]
        taken.append(torch.stack([row, *(found[name] for name in _TAKEN[1:])]))
    every = torch.cat([*taken, torch.zeros(4, 0, dtype=torch.long)], dim=1)
    # Batches are by length; what is told is by row and place.
    every = every[:, every[1].argsort(stable=True)]
    every = every[:, every[0].argsort(stable=True)]
    return Crossed(
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
        n_taken=torch.bincount(every[0], minlength=len(rows)).view(len(arms), len(task)),
        taken_row=every[0],
        taken_at=every[1],
        taken_id=every[2],
        replaced_id=every[3],
    )


_TAKEN = ("taken_row", "taken_at", "taken_id", "replaced_id")


@dataclass(frozen=True, kw_only=True)
class _Row(Row):
    """A text and where it takes tokens."""

    takes: Takes


@dataclass(frozen=True, kw_only=True)
class _CrossWriter(SeveralWriter):
    """Writes texts of a host with tokens of a donor."""

    def _origin(self) -> str:
        return digest_json(["crossed", super()._origin()])

    def _continued(
        self, model: nn.Module, padded: Encoded, rooms: list[int], batch: Sequence[Row]
    ) -> dict[str, Tensor]:
        chooser = _Chooser(
            [row.takes for row in batch if isinstance(row, _Row)],
            d_vocab=self.side.alignment.d_vocab,
        )
        new = write_ids(
            self._readers(model, padded, batch),
            chooser,
            room=torch.tensor(rooms, device=padded.ids.device),
            stop_ids=self.sampling.stop_ids,
            pad_id=self.side.alignment.pad_id,
        )
        table = torch.tensor(chooser.taken, dtype=torch.long).reshape(-1, 4)
        return self._ended(new, rooms) | dict(zip(_TAKEN, table.unbind(1), strict=True))


class _Chooser:
    """The host's next token, or the donor's where it is taken."""

    def __init__(self, takes: Sequence[Takes], *, d_vocab: int) -> None:
        self.takes, self.d_vocab = takes, d_vocab
        self.taken: list[tuple[int, int, int, int]] = []
        endless = 1 << 60
        self._left = torch.tensor([endless if t.budget is None else t.budget for t in takes])
        self._kind = {
            kind: torch.tensor([take.kind == kind for take in takes]) for kind in ("jsd", "entropy")
        }
        self._least = torch.tensor([take.threshold for take in takes])
        self._first = torch.tensor([take.first for take in takes])
        self._places = [frozenset(take.places) for take in takes]

    def __call__(
        self,
        logits: Sequence[Float[Tensor, "row d_vocab"]],
        rows: Int[Tensor, " row"],
        step: int,
        running: Bool[Tensor, " row"],
    ) -> Int[Tensor, " row"]:
        own = logits[0].argmax(-1)
        given = logits[1][:, : self.d_vocab].argmax(-1).to(own.device)
        here = rows.cpu()
        open_ = (own != given) & running
        open_ = open_.cpu() & (self._left[here] > 0) & (self._first[here] <= step)
        if not bool(open_.any()):
            return own
        wanted = open_ & self._wanted(logits, here, step)
        self._left[here[wanted]] -= 1
        at = wanted.to(own.device)
        self.taken += [
            (row, step, donor, host)
            for row, donor, host in zip(
                here[wanted].tolist(), given[at].tolist(), own[at].tolist(), strict=True
            )
        ]
        return torch.where(at, given, own)

    def _wanted(
        self, logits: Sequence[Float[Tensor, "row d_vocab"]], rows: Int[Tensor, " row"], step: int
    ) -> Bool[Tensor, " row"]:
        """Where each row's rule takes the donor's token."""
        wanted = torch.tensor([step in self._places[row] for row in rows.tolist()])
        apart, unsure = (self._kind[kind][rows] for kind in ("jsd", "entropy"))
        if bool((apart | unsure).any()):
            least = self._least[rows]
            host = log_probs(logits[0][:, : self.d_vocab])
            if bool(unsure.any()):
                wanted |= unsure & (entropy(host).cpu() >= least)
            if bool(apart.any()):
                donor = log_probs(logits[1][:, : self.d_vocab]).to(host.device)
                wanted |= apart & (jsd(host, donor).clamp(min=0).cpu() >= least)
        return wanted
