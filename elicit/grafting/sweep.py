"""Sweep over parts moved between the models, without copies, from the first changed layer.

`revert` is post with a part from base, `graft` is base with a part from post. Teacher-forced sweeps
keep one trunk per batch and model and run only the layers from the first moved one; generation
runs the whole model with swapped pointers. A part that is equal in both models is not run: its
effect is exactly 0.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture import run_layers
from elicit.grafting._cost import distinct_intervals
from elicit.grafting._forward import Forwards, ResumeWarning
from elicit.grafting.score import Score, forced_values, generated_values
from elicit.pair import ModelPair
from elicit.runs import Execution
from elicit.surroundings import guarded
from elicit.tasks import ReadScores
from elicit.weights import Part, all_parts, grafted, layer_interval, reverted

Direction = Literal["revert", "graft"]
Values = Float[Tensor, " problem"]
Move = Callable[[Part], AbstractContextManager[nn.Module]]

__all__ = ["Direction", "Move", "PartSweep", "ResumeWarning", "Values", "both_scores"]


@dataclass(eq=False)
class PartSweep(Forwards):
    """Scores one task with either model and any part moved."""

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
    @torch.no_grad()
    def evaluate(self, model: nn.Module) -> Values:
        """Values of a model in its current state."""
        if self.rows is None:
            return generated_values(self.pair, model, self.score)
        reads = [self.plain(model, batch) for batch in self.batches]
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
        changed = [i for i, part in enumerate(parts) if self.differs(part)]
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
        host = self.host(direction)
        reads: list[list[ReadScores]] = [[] for _ in parts]
        for index, batch in enumerate(self.batches):
            trunk = self.trunk(host, index)
            for i, part in enumerate(parts):
                self.cost.naive += self.pair.n_layers
                with move(part):
                    reads[i].append(self.above(host, batch, trunk, self.entry(part)))
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
        layers = [all_parts(self.pair)[f"L{layer}"] for layer in range(n_layers)]
        # Unchanged layers at either end add nothing: the value is that of the inner interval.
        core = distinct_intervals([self.differs(part) for part in layers])
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
        for index, batch in enumerate(self.batches):
            trunk, other = self.trunk(host, index), self.trunk(donor, index)
            self.cost.naive += n_layers * len(needed)
            if trunk is None or other is None:
                for span in needed:
                    with self._move(direction)(layer_interval(self.pair, *span)):
                        reads[span].append(self.above(host, batch, None, None))
                continue
            for start in sorted({first for first, _ in needed}):
                resid, layer = trunk.resid[start], start
                for first, last in needed:
                    if first != start:
                        continue
                    resid = run_layers(donor, other, resid, first=layer, last=last)
                    done = run_layers(host, trunk, resid, first=last + 1)
                    reads[first, last].append(self.read(host, done, batch))
                    self.cost.spent += (last + 1 - layer) + (n_layers - last - 1)
                    layer = last + 1
        return {
            span: forced_values(self.score, self.rows, ReadScores.cat(each))
            for span, each in reads.items()
        }


def both_scores(pair: ModelPair, score: Score, *, execution: Execution) -> dict[str, Values]:
    """Value of every problem of a task, by model; what the checkpoint has is not computed again.

    Args:
        pair: Base and post.
        score: The task and how it is scored.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    sweep = PartSweep(pair=pair, score=score, execution=execution.quiet())
    return {name: sweep.host_values(name) for name in ("base", "post")}
