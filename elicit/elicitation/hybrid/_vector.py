"""A vector that makes a frozen model write another's tokens where the two differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit import fitting
from elicit.capture import plan_chunks, slot_logits
from elicit.edits import Steer, edited, marked, shape_of
from elicit.pair import Side, device_of, pad
from elicit.runs import Execution
from elicit.sites import Site

START = 1e-3
"""Norm of the first vector, as a share of the state's norm: a zero vector is no edit."""
BATCH = 16
"""Texts an update."""
EVERY = 50
"""Updates between checkpoints."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Targets:
    """Texts, the tokens after which a vector is added, and what shall follow each."""

    rows: tuple[tuple[int, ...], ...]
    """Token ids, prompt included."""
    pos: tuple[tuple[int, ...], ...]
    """Of each row, positions of the tokens that are pushed."""
    target: tuple[tuple[int, ...], ...]
    """Token that shall follow each."""

    def part(self, keep: Sequence[int]) -> "Targets":
        """Some of the rows."""
        return Targets(
            rows=tuple(self.rows[i] for i in keep),
            pos=tuple(self.pos[i] for i in keep),
            target=tuple(self.target[i] for i in keep),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedVector:
    """A vector and the course of its fit."""

    vector: Float[Tensor, " width"]
    """After the last update."""
    norm: Float[Tensor, " step"]
    """Its norm before each update."""
    log_prob: Float[Tensor, " step"]
    """Mean log-probability of the targets of each update's batch, before it, nats."""
    before: "Fulfilled"
    """Without the vector."""
    after: "Fulfilled"
    """Under the last vector."""


@dataclass(frozen=True, kw_only=True)
class Fulfilled:
    """How far a model writes the targets."""

    log_prob: float
    """Mean log-probability of all targets, nats."""
    greedy: float
    """Share of them that are its greedy choice."""


def fit_vector(
    side: Side,
    targets: Targets,
    *,
    site: Site,
    resid_norm: float,
    steps: int,
    learning_rate: float,
    seed: int,
    execution: Execution,
) -> FittedVector:
    """Train one vector by the cross-entropy of the targets; see `fit_hybrid`."""
    model, pad_id = side.bridge, side.alignment.pad_id
    device = device_of(model)
    width = shape_of(model).d_model
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(width, generator=generator)
    vector = (start * (START * resid_norm / start.norm())).to(device).requires_grad_()
    chunks = plan_chunks([len(row) for row in targets.rows], execution.max_tokens)
    size = max(1, min(BATCH, len(targets.rows)))

    def drawn() -> list[list[int]]:
        order = torch.randperm(len(targets.rows), generator=generator).tolist()
        every = [order[i : i + size] for i in range(0, len(order), size)]
        return [part for batch in every for part in _fitting(batch, targets, execution.max_tokens)]

    batches = fitting.in_epochs(drawn, steps)

    def log_probs(part: Targets, edit: Tensor | None) -> tuple[Tensor, Tensor]:
        batch = pad(part.rows, pad_id=pad_id, padding="right").to(device)
        slots = _slots(part, device)
        read = (batch.ids, batch.mask, batch.position_ids, (slots[0], slots[1]))
        if edit is None:
            logits = slot_logits(model, *read)
        else:
            mask = torch.zeros_like(batch.mask, dtype=torch.bool)
            mask[slots[0], slots[1]] = True
            with edited(model, [Steer(site, edit, where=marked(mask))]):
                logits = slot_logits(model, *read)
        logits = logits[:, : side.alignment.d_vocab].float()
        each = logits.log_softmax(-1).gather(1, slots[2][:, None])[:, 0]
        return each, logits.argmax(-1) == slots[2]

    def whole(edit: Tensor | None) -> Fulfilled:
        with torch.no_grad():
            parts = [log_probs(targets.part(chunk), edit) for chunk in chunks]
        each, greedy = (torch.cat(column).double() for column in zip(*parts, strict=True))
        return Fulfilled(log_prob=each.mean().item(), greedy=greedy.mean().item())

    before = whole(None)

    def step(number: int) -> Float[Tensor, " measured"]:
        with torch.enable_grad():
            each, _ = log_probs(targets.part(batches[number]), vector)
            mean = each.mean()
            (gradient,) = torch.autograd.grad(-mean, [vector])
        assert vector.grad is not None
        vector.grad += gradient
        return torch.stack([vector.detach().norm().float(), mean.detach().float()])

    # Adam moves every entry by about its rate, so the vector by that times √width.
    rate = learning_rate * resid_norm / width**0.5
    measured = fitting.fit(
        torch.optim.Adam([vector], lr=rate),
        step,
        steps=steps,
        rate=fitting.constant(rate),
        label="training the vector",
        every=EVERY,
        execution=execution,
    )
    return FittedVector(
        vector=vector.detach().cpu(),
        norm=measured[:, 0].contiguous(),
        log_prob=measured[:, 1].contiguous(),
        before=before,
        after=whole(vector.detach()),
    )


def _fitting(batch: list[int], targets: Targets, max_tokens: int) -> list[list[int]]:
    """A batch in parts that one forward may take."""
    parts = plan_chunks([len(targets.rows[i]) for i in batch], max_tokens)
    return [[batch[i] for i in part] for part in parts]


def _slots(part: Targets, device: torch.device) -> Int[Tensor, "3 slot"]:
    """Row, position and target of every token that is pushed."""
    row = [i for i, places in enumerate(part.pos) for _ in places]
    pos = [p for places in part.pos for p in places]
    target = [t for wanted in part.target for t in wanted]
    return torch.tensor([row, pos, target], dtype=torch.long, device=device)
