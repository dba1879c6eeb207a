"""Sweep over parts moved between the models, without copies, from the first changed layer.

`revert` is post with a part from base, `graft` is base with a part from post. Teacher-forced sweeps
keep one trunk per batch and model and run only the layers from the first moved one; generation
runs the whole model with swapped pointers. A part that is equal in both models is not run: its
effect is exactly 0.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture import CaptureError, Trunk, full_logits, logits_at, record, run_layers
from elicit.grafting._cost import Cost
from elicit.grafting.score import Score, encode, forced_values, generated_values
from elicit.pair import ModelPair
from elicit.runs import Execution
from elicit.surroundings import guarded
from elicit.tasks import ForcedBatch, ReadScores, read_scores
from elicit.weights import Part, all_parts, grafted, is_changed, layer_interval, reverted, slots_of

Direction = Literal["revert", "graft"]
Values = Float[Tensor, " problem"]
Move = Callable[[Part], AbstractContextManager[nn.Module]]

AGREEMENT = 1e-4
"""Maximum logit difference between a resumed and a plain forward pass for resuming to be used."""


class ResumeWarning(UserWarning):
    """Layers of this architecture cannot be run one by one; every forward pass is run whole."""


@dataclass
class PartSweep:
    """Scores one task with either model and any part moved."""

    pair: ModelPair
    score: Score
    resume: bool = True
    """False runs every forward pass whole, as a reference for the resumed sweep."""
    execution: Execution = Execution()
    """Tokens per forward pass, which bound the kept residuals; checkpoint and progress."""
    cost: Cost = field(default_factory=Cost)

    def __post_init__(self) -> None:
        """Encode the task, which fails here if it does not fit the models."""
        self.slots = slots_of(self.pair)
        self.rows = encode(self.pair, self.score) if self.score.how == "forced" else None

    def host(self, direction: Direction) -> nn.Module:
        """The model that receives parts."""
        return self.pair.post if direction == "revert" else self.pair.base

    def _move(self, direction: Direction) -> Move:
        return lambda part: (reverted if direction == "revert" else grafted)(self.pair, part)

    def once(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        """Values of this task from the checkpoint, or computed and stored there.

        Args:
            key: Key, unique for the task.
            compute: Computes the values.
        """
        name = f"{self.score.task.name}/{key}"
        kept = self.execution.checkpoint.get_or_compute(name, lambda: {"values": compute()})
        return kept["values"]

    @guarded
    def host_values(self, name: str) -> Values:
        """Values of an unmodified model, computed once.

        Args:
            name: `base` or `post`.
        """
        model = self.pair.post if name == "post" else self.pair.base
        self.execution.progress.advance(0, f"{self.score.task.name}: scoring {name}")
        return self.once(name, lambda: self.evaluate(model))

    @guarded
    def part_values(
        self,
        parts: Sequence[Part],
        direction: Direction,
        host_values: Values,
        *,
        move: Move | None = None,
        name: str = "",
    ) -> Float[Tensor, "part problem"]:
        """Values of the host with each part moved in turn, through the checkpoint.

        Progress advances by one per part, whether computed or read from the checkpoint.

        Args:
            parts: Parts to move, one at a time.
            direction: `revert` or `graft`.
            host_values: Values of the unmodified host.
            move: Alternative modification of the host, for controls.
            name: Its name in the checkpoint.
        """
        key, progress = f"{direction}/{name}" if name else direction, self.execution.progress
        # Resumed forward passes share a trunk over parts; each generated part is a separate run.
        groups = [list(parts)] if self.rows is not None else [[part] for part in parts]
        rows = [host_values.new_zeros(0, len(host_values))]
        for group in groups:
            names = "+".join(part.name for part in group)
            said = names if len(group) < 4 else f"{len(group)} parts"
            progress.advance(
                0, f"{self.score.task.name}: {direction}{' control' * bool(name)} {said}"
            )
            rows.append(
                self.once(
                    f"{key}/{names}",
                    lambda group=group: self.sweep(group, direction, host_values, move),
                )
            )
            progress.advance(len(group))
        return torch.cat(rows)

    @guarded
    def evaluate(self, model: nn.Module) -> Values:
        """Values of a model in its current state."""
        if self.rows is None:
            return generated_values(self.pair, model, self.score)
        reads = [
            self._whole(model, batch.to(self.pair.device))
            for batch in self.rows.batches(self.execution.max_tokens)
        ]
        return forced_values(self.score, self.rows, ReadScores.cat(reads))

    @guarded
    def sweep(
        self,
        parts: Sequence[Part],
        direction: Direction,
        host_values: Values,
        move: Move | None = None,
    ) -> Float[Tensor, "part problem"]:
        """Values of the host with each part moved in turn.

        Args:
            parts: Parts to move, one at a time.
            direction: `revert` or `graft`.
            host_values: Values of the unmodified host, used for unchanged parts.
            move: Alternative modification of the host, for controls and interpolation.
        """
        move = move or self._move(direction)
        out = host_values.repeat(len(parts), 1)
        changed = [i for i, part in enumerate(parts) if is_changed(self.slots, part)]
        if self.rows is None:
            for i in changed:
                with move(parts[i]) as model:
                    out[i] = self.evaluate(model)
        elif changed:
            reads = self._forced([parts[i] for i in changed], direction, move)
            for i, each in zip(changed, reads, strict=True):
                out[i] = forced_values(self.score, self.rows, each)
        return out

    @torch.no_grad()
    def _forced(self, parts: Sequence[Part], direction: Direction, move: Move) -> list[ReadScores]:
        assert self.rows is not None
        host, n_layers = self.host(direction), self.pair.n_layers
        reads: list[list[ReadScores]] = [[] for _ in parts]
        for batch in self.rows.batches(self.execution.max_tokens):
            batch = batch.to(self.pair.device)
            trunk = self._trunk(host, batch)
            for i, part in enumerate(parts):
                self.cost.naive += n_layers
                with move(part):
                    first = 0 if _is_read_first(part) else min(part.layers, default=n_layers)
                    if trunk is None or _is_read_first(part):
                        reads[i].append(self._whole(host, batch))
                        self.cost.spent += n_layers
                        continue
                    resid = run_layers(host, trunk, trunk.resid[first], first=first)
                    reads[i].append(_read(host, resid, batch, self.pair.d_vocab))
                    self.cost.spent += n_layers - first
        return [ReadScores.cat(each) for each in reads]

    @torch.no_grad()
    def intervals(self, direction: Direction, host_values: Values) -> dict[tuple[int, int], Values]:
        """Values of the host with every contiguous interval of layers moved.

        Layers below an interval come from the host's trunk; from each first layer the donor's
        layers are run as one chain, from which every last layer branches off.

        Args:
            direction: `revert` or `graft`.
            host_values: Values of the unmodified host.
        """
        n_layers = self.pair.n_layers
        spans = [(first, last) for first in range(n_layers) for last in range(first, n_layers)]
        layers = [all_parts(self.pair)[f"L{layer}"] for layer in range(n_layers)]
        changed = [is_changed(self.slots, part) for part in layers]
        # Unchanged layers at either end add nothing: the value is that of the inner interval.
        core = {span: _core(span, changed) for span in spans}
        needed = sorted({inner for inner in core.values() if inner is not None})
        if self.rows is None:
            parts = [layer_interval(self.pair, *span) for span in needed]
            values = dict(zip(needed, self.sweep(parts, direction, host_values), strict=True))
        else:
            values = self._forced_intervals(needed, direction)
        return {
            span: host_values if inner is None else values[inner] for span, inner in core.items()
        }

    def _forced_intervals(
        self, needed: Sequence[tuple[int, int]], direction: Direction
    ) -> dict[tuple[int, int], Values]:
        assert self.rows is not None
        host = self.host(direction)
        donor = self.host("graft" if direction == "revert" else "revert")
        n_layers = self.pair.n_layers
        reads: dict[tuple[int, int], list[ReadScores]] = {span: [] for span in needed}
        for batch in self.rows.batches(self.execution.max_tokens):
            batch = batch.to(self.pair.device)
            trunk, other = self._trunk(host, batch), self._trunk(donor, batch)
            self.cost.naive += n_layers * len(needed)
            if trunk is None or other is None:
                for span in needed:
                    with self._move(direction)(layer_interval(self.pair, *span)):
                        reads[span].append(self._whole(host, batch))
                    self.cost.spent += n_layers
                continue
            for start in sorted({first for first, _ in needed}):
                resid, layer = trunk.resid[start], start
                for first, last in needed:
                    if first != start:
                        continue
                    resid = run_layers(donor, other, resid, first=layer, last=last)
                    done = run_layers(host, trunk, resid, first=last + 1)
                    reads[first, last].append(_read(host, done, batch, self.pair.d_vocab))
                    self.cost.spent += (last + 1 - layer) + (n_layers - last - 1)
                    layer = last + 1
        return {
            span: forced_values(self.score, self.rows, ReadScores.cat(each))
            for span, each in reads.items()
        }

    def _whole(self, model: nn.Module, batch: ForcedBatch) -> ReadScores:
        with torch.no_grad():
            logits = full_logits(model, batch.ids, batch.mask, batch.position_ids)
        return read_scores(logits[batch.slot_row, batch.slot_pos][:, : self.pair.d_vocab], batch)

    def _trunk(self, model: nn.Module, batch: ForcedBatch) -> Trunk | None:
        """Trunk of a batch; None, with one warning, if resuming is not exact."""
        if not self.resume:
            return None
        self.cost.trunk += self.pair.n_layers
        try:
            trunk = record(model, batch.ids, batch.mask, batch.position_ids)
            if self._checked:
                return trunk
            resumed = logits_at(
                model,
                run_layers(model, trunk, trunk.resid[1], first=1),
                batch.slot_row,
                batch.slot_pos,
            )
            whole = full_logits(model, batch.ids, batch.mask, batch.position_ids)[
                batch.slot_row, batch.slot_pos
            ]
            off = (resumed - whole).abs().max().item()
            if off <= AGREEMENT * max(1.0, whole.abs().max().item()):
                self._checked = True
                return trunk
            why = f"a resumed forward differs from a plain one by {off:.2g} in a logit"
        except (CaptureError, TypeError, AttributeError, KeyError) as error:
            why = str(error)
        warnings.warn(
            f"layers are not run one by one ({why}); every forward pass is run whole.",
            ResumeWarning,
            stacklevel=3,
        )
        self.resume = False
        return None

    _checked: bool = False


def _is_read_first(part: Part) -> bool:
    """Whether a part is applied before the first layer."""
    return any(name in part.name.split("+") for name in ("embed", "pos_embed", "all"))


def _core(span: tuple[int, int], changed: Sequence[bool]) -> tuple[int, int] | None:
    inside = [layer for layer in range(span[0], span[1] + 1) if changed[layer]]
    return (inside[0], inside[-1]) if inside else None


def _read(model: nn.Module, resid: Tensor, batch: ForcedBatch, d_vocab: int) -> ReadScores:
    logits = logits_at(model, resid, batch.slot_row, batch.slot_pos)
    return read_scores(logits[:, :d_vocab], batch)
