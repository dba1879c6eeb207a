"""Joint move of every contiguous interval of layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Int
from torch import Tensor

from elicit.grafting._conclusion import DIRECTIONS
from elicit.grafting.score import Score
from elicit.grafting.sweep import Direction, PartSweep
from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.runs import Execution
from elicit.stats import Inference, joint_estimate


@dataclass(frozen=True, eq=False, kw_only=True)
class IntervalSweep(Result):
    """Effect of moving every contiguous interval of layers, prefixes and suffixes included."""

    task: tuple[str, ...]
    """Name of each task."""
    first: Int[Tensor, " first"]
    """First layer of the interval."""
    last: Int[Tensor, " last"]
    """Last layer of the interval, inclusive; entries with `last` before `first` are NaN."""
    revert: Annotated[Estimate, "task first last"]
    """Post with the interval from base, minus post; simultaneous over all intervals."""
    graft: Annotated[Estimate, "task first last"]
    """Base with the interval from post, minus base; simultaneous over all intervals."""


def sweep_intervals(
    pair: ModelPair,
    scores: Sequence[Score],
    *,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> IntervalSweep:
    """Move every contiguous interval of layers in both directions.

    Teacher-forced tasks share the layers below an interval and the donor's layers inside it;
    generated tasks run every interval separately, which is slow.

    Args:
        pair: The two models.
        scores: Tasks and how they are scored.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, checkpoint and progress.
    """
    n = pair.n_layers
    first, last = torch.triu_indices(n, n)
    effects: dict[Direction, list[Estimate]] = {direction: [] for direction in DIRECTIONS}
    execution.progress.start(len(scores) * 2 * len(first), "moving intervals of layers")
    for score in scores:
        sweep = PartSweep(pair=pair, score=score, execution=execution)
        for direction in DIRECTIONS:
            host = sweep.host_values("post" if direction == "revert" else "base")
            execution.progress.advance(0, f"{score.task.name}: {direction} intervals")

            def compute(
                sweep: PartSweep = sweep, direction: Direction = direction, host: Tensor = host
            ) -> Tensor:
                # Ordered by first, then last layer.
                return torch.stack(list(sweep.intervals(direction, host).values()))

            values = sweep.once(f"{direction}/intervals", compute)
            execution.progress.advance(len(first))
            grid = host.new_full((len(host), n, n), torch.nan)
            grid[:, first, last] = (values - host).T
            effects[direction].append(joint_estimate(grid, inference=inference))
    execution.progress.stop()
    return IntervalSweep(
        provenance=pair.provenance(
            inference.seed,
            {"scores": [score.to_json() for score in scores], "level": inference.level},
        ),
        task=tuple(score.task.name for score in scores),
        first=torch.arange(n),
        last=torch.arange(n),
        revert=Estimate.stack(effects["revert"]),
        graft=Estimate.stack(effects["graft"]),
    )
