"""Linear weight interpolation from base to post: scores of the whole model and of each layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.grafting.score import Score
from elicit.grafting.sweep import Move, PartSweep
from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.weights import Part, all_parts, interpolated, parts_of, slot_table

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Interpolation(Result):
    """Scores at weights base + α (post - base)."""

    task: tuple[str, ...]
    """Name of each task."""
    alpha: Float[Tensor, " alpha"]
    """α: 0 base, 1 post."""
    score: Annotated[Estimate, "task alpha"]
    """Mean value with the whole model interpolated; intervals are pointwise."""
    layer: Int[Tensor, " layer"]
    """Layer of each row of `layer_score`."""
    layer_score: Float[Tensor, "task layer alpha"]
    """Mean value with only this layer interpolated; NaN for generated tasks."""


def interpolate(
    pair: ModelPair,
    scores: Sequence[Score],
    *,
    alphas: Sequence[float] = ALPHAS,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Interpolation:
    """Score models at several points of the line from base to post.

    Args:
        pair: The two models.
        scores: Tasks and how they are scored.
        alphas: Values of α in [0, 1].
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, checkpoint and progress.
    """
    progress = execution.progress
    everything, layers = all_parts(pair)["all"], parts_of(pair, "layer")
    shape = (len(scores), len(layers), len(alphas))
    layer_score = torch.full(shape, torch.nan, dtype=torch.float64)
    whole_score = []
    progress.start(len(scores) * len(alphas) * 2, "interpolating")
    for t, score in enumerate(scores):
        sweep = PartSweep(pair=pair, score=score, execution=execution.quiet())
        host, values = sweep.host_values("base"), []
        for a, alpha in enumerate(alphas):
            progress.advance(0, f"{score.task.name}: interpolating, alpha {alpha:g}")
            values.append(_whole(sweep, everything, alpha, host))
            progress.advance()
            if sweep.rows is not None:
                layer_score[t, :, a] = _layers(sweep, layers, alpha, host).mean(1)
            progress.advance()
        whole_score.append(score.mean(torch.stack(values), inference=inference))
    progress.stop()
    return Interpolation(
        provenance=pair.provenance(
            inference.seed,
            {"scores": [score.to_json() for score in scores], "level": inference.level},
        ),
        task=tuple(score.task.name for score in scores),
        alpha=torch.tensor(list(alphas), dtype=torch.float64),
        score=Estimate.stack(whole_score),
        layer=torch.tensor([part.layers[0] for part in layers]),
        layer_score=layer_score,
    )


def _whole(sweep: PartSweep, everything: Part, alpha: float, host: Tensor) -> Tensor:
    """Values of the whole model at a point of the line; at its ends those of the two models."""
    if alpha == 0.0:
        return host
    # Embeddings of two sizes stay with base, so that its other end is not post.
    if alpha == 1.0 and not slot_table(sweep.pair)[1]:
        return sweep.host_values("post")
    move = _move(sweep.pair, alpha)
    return sweep.once(f"alpha-{alpha:g}", lambda: sweep.sweep([everything], "graft", host, move)[0])


def _layers(sweep: PartSweep, layers: Sequence[Part], alpha: float, host: Tensor) -> Tensor:
    """Values with one layer at a point of the line; at its ends those of base and of its graft."""
    if alpha == 0.0:
        return host.repeat(len(layers), 1)
    if alpha == 1.0:  # under the sweep's own key, where single layers were grafted before
        return sweep.part_values(layers, "graft", host)
    move = _move(sweep.pair, alpha)
    return sweep.once(f"alpha-{alpha:g}/layers", lambda: sweep.sweep(layers, "graft", host, move))


def _move(pair: ModelPair, alpha: float) -> Move:
    def move(part: Part):
        return interpolated(pair, part, alpha)

    return move
