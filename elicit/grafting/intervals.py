"""Every contiguous interval of layers, moved at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.grafting.measure import Measure
from elicit.grafting.sweep import Bench, Direction
from elicit.grafting.values import DIRECTIONS
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.runs import Execution
from elicit.stats import Inference, simultaneous_intervals


@dataclass(frozen=True, eq=False, kw_only=True)
class IntervalSweep(Result):
    """Effect of moving every contiguous interval of layers; prefixes and suffixes are its edges."""

    task: tuple[str, ...]
    """Name of each task."""
    first: Int[Tensor, " first"]
    """First layer of the interval."""
    last: Int[Tensor, " last"]
    """Last layer of the interval, included; entries with `last` before `first` are NaN."""
    revert: Float[Tensor, "task first last"]
    """Post with the interval from base, minus post."""
    revert_low: Float[Tensor, "task first last"]
    """Lower end, jointly over all intervals."""
    revert_high: Float[Tensor, "task first last"]
    """Upper end, jointly over all intervals."""
    graft: Float[Tensor, "task first last"]
    """Base with the interval from post, minus base."""
    graft_low: Float[Tensor, "task first last"]
    """Lower end, jointly over all intervals."""
    graft_high: Float[Tensor, "task first last"]
    """Upper end, jointly over all intervals."""


def sweep_intervals(
    pair: ModelPair,
    measures: Sequence[Measure],
    *,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> IntervalSweep:
    """Move every contiguous interval of layers both ways.

    Teacher-forced tasks share the layers below an interval and the donor's chain inside it;
    generated ones run every interval whole, which is slow.

    Args:
        pair: The two models.
        measures: Tasks and how they are scored.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    cells, progress = execution.checkpoint, execution.progress
    n = pair.n_layers
    spans = [(first, last) for first in range(n) for last in range(first, n)]
    shape = (len(measures), n, n)
    fields = {
        f"{direction}{end}": torch.full(shape, float("nan"), dtype=torch.float64)
        for direction in DIRECTIONS
        for end in ("", "_low", "_high")
    }
    progress.start(len(measures) * 2 * len(spans), "moving intervals of layers")
    for t, measure in enumerate(measures):
        bench = Bench(
            pair=pair, measure=measure, max_tokens=execution.max_tokens, progress=progress
        )
        name = measure.task.name
        for direction in DIRECTIONS:
            host_name = "post" if direction == "revert" else "base"
            model = bench.host(direction)
            host = cells.get_or_compute(
                f"{name}/{host_name}",
                lambda bench=bench, model=model: {"values": bench.score(model)},
            )["values"]
            progress.advance(0, f"{name}: {direction} intervals")

            def compute(
                bench: Bench = bench, direction: Direction = direction, host: Tensor = host
            ) -> dict[str, Tensor]:
                found = bench.intervals(direction, host)
                return {"values": torch.stack([found[span] for span in spans])}

            values = cells.get_or_compute(f"{name}/{direction}/intervals", compute)["values"]
            joint = simultaneous_intervals(
                (values - host).T.numpy(),
                level=inference.level,
                n_resamples=inference.n_resamples,
                seed=inference.seed,
            )
            for end, column in (("", joint.value), ("_low", joint.low), ("_high", joint.high)):
                for (first, last), value in zip(spans, column, strict=True):
                    fields[f"{direction}{end}"][t, first, last] = float(value)
    progress.stop()
    return IntervalSweep(
        provenance=pair.provenance(
            inference.seed, {"measures": [m.to_json() for m in measures], "level": inference.level}
        ),
        task=tuple(measure.task.name for measure in measures),
        first=torch.arange(n),
        last=torch.arange(n),
        **fields,
    )
