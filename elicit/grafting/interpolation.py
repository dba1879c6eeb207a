"""Base on the straight way to post: scores along it, for the whole model and for each layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.grafting.measure import Measure, mean_interval
from elicit.grafting.sweep import Bench
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.runs import Execution, NoProgress
from elicit.stats import Inference
from elicit.weights import all_parts, interpolated, parts_of

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Interpolation(Result):
    """Scores of base moved part of the way to post."""

    task: tuple[str, ...]
    """Name of each task."""
    alpha: Float[Tensor, " alpha"]
    """Share of the way: 0 base, 1 post."""
    score: Float[Tensor, "task alpha"]
    """Mean value with the whole model moved."""
    low: Float[Tensor, "task alpha"]
    """Lower end of its interval, each alone."""
    high: Float[Tensor, "task alpha"]
    """Upper end of its interval, each alone."""
    layer: Int[Tensor, " layer"]
    """Layer of each row of `layer_score`."""
    layer_score: Float[Tensor, "task layer alpha"]
    """Mean value with only this layer moved; NaN for generated tasks."""


def interpolate(
    pair: ModelPair,
    measures: Sequence[Measure],
    *,
    alphas: Sequence[float] = ALPHAS,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Interpolation:
    """Score base at several points of the straight line to post.

    Args:
        pair: The two models.
        measures: Tasks and how they are scored.
        alphas: Shares of the way.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    cells, progress = execution.checkpoint, execution.progress
    everything, layers = all_parts(pair)["all"], parts_of(pair, "layer")
    shape = (len(measures), len(alphas))
    score, low, high = (torch.full(shape, float("nan"), dtype=torch.float64) for _ in range(3))
    layer_score = torch.full(
        (len(measures), len(layers), len(alphas)), float("nan"), dtype=torch.float64
    )
    progress.start(len(measures) * len(alphas) * 2, "interpolating")
    for t, measure in enumerate(measures):
        bench = Bench(
            pair=pair, measure=measure, max_tokens=execution.max_tokens, progress=NoProgress()
        )
        name = measure.task.name
        host = cells.get_or_compute(
            f"{name}/base", lambda bench=bench: {"values": bench.score(pair.base)}
        )["values"]
        for a, alpha in enumerate(alphas):
            progress.advance(0, f"{name}: interpolating, alpha {alpha:g}")

            def move(part, alpha=alpha):
                return interpolated(pair, part, alpha)

            def whole(bench: Bench = bench, move=move) -> dict[str, Tensor]:
                with move(everything) as model:
                    return {"values": bench.score(model)}

            values = cells.get_or_compute(f"{name}/alpha-{alpha:g}", whole)["values"]
            interval = mean_interval(measure, values, inference=inference)
            score[t, a], low[t, a], high[t, a] = interval.value, interval.low, interval.high
            progress.advance(1)
            if bench.rows is not None:

                def single(bench: Bench = bench, move=move, host=host) -> dict[str, Tensor]:
                    return {"values": bench.sweep_moves(layers, "graft", host, move)}

                found = cells.get_or_compute(f"{name}/alpha-{alpha:g}/layers", single)["values"]
                layer_score[t, :, a] = found.mean(1)
            progress.advance(1)
    progress.stop()
    return Interpolation(
        provenance=pair.provenance(
            inference.seed, {"measures": [m.to_json() for m in measures], "level": inference.level}
        ),
        task=tuple(measure.task.name for measure in measures),
        alpha=torch.tensor(list(alphas), dtype=torch.float64),
        score=score,
        low=low,
        high=high,
        layer=torch.tensor([part.layers[0] for part in layers]),
        layer_score=layer_score,
    )
