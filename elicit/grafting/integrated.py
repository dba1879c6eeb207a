"""Weight integrated gradients: complete attribution of a task's gap to parts.

With theta(a) = base + a (post - base), the attribution of a part is its difference times the
gradient of the task's mean value with respect to it, averaged along the line. By the fundamental
theorem the attributions sum to the gap; the completeness error, which measures the quadrature, is
reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture import Trunk
from elicit.grafting.score import GraftError, Score
from elicit.grafting.sweep import PartSweep
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.runs import Execution
from elicit.tasks import ReadScores, reduce_scores
from elicit.weights import Part, Slot, all_parts, parts_of, replaced

NODES = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightIG(Result):
    """Attribution of a task's gap to parts, by integrated gradients over the weights."""

    task: tuple[str, ...]
    """Name of each task."""
    part: tuple[str, ...]
    """Layers, then the parts outside them; together the whole model."""
    layer: Int[Tensor, " part"]
    """Layer of each part, -1 outside the layers."""
    attribution: Float[Tensor, "task part"]
    """Attribution of each part, in the task's unit; they sum to the gap."""
    gap: Float[Tensor, " task"]
    """Post minus base, in the same unit."""
    completeness_error: Float[Tensor, " task"]
    """|sum of attributions - gap| over |gap|; NaN without a gap."""
    nodes: Int[Tensor, " task"]
    """Quadrature nodes used; more than requested if the error exceeded the tolerance."""


def integrate(
    pair: ModelPair,
    scores: Sequence[Score],
    *,
    nodes: int = NODES,
    tolerance: float = 0.01,
    max_nodes: int = 128,
    execution: Execution = Execution(),
) -> WeightIG:
    """Attribute each task's gap to parts by integrated gradients from base to post.

    Args:
        pair: The two models.
        scores: Teacher-forced tasks with a smooth metric (`probability` or `log_prob`).
        nodes: Gauss-Legendre nodes on the line.
        tolerance: Completeness error above which the line is halved, with as many nodes per half.
        max_nodes: Maximum number of nodes in total.
        execution: Tokens per forward pass, checkpoint and progress.

    Raises:
        GraftError: A task has no gradient: generated, or metric `correct`.

    Source: Sundararajan et al. 2017 (arXiv:1703.01365), applied to weights instead of inputs.
    """
    cells, progress = execution.checkpoint, execution.progress
    for score in scores:
        if score.how != "forced" or score.metric == "correct":
            raise GraftError(
                f"task {score.task.name!r} is scored as {score.how} with metric "
                f"{score.metric!r}, which has no "
                "gradient. Use how='forced' with metric='probability' or 'log_prob'."
            )
    parts = [*parts_of(pair, "layer"), *parts_of(pair, "outside")]
    shares, gaps, errors, used = [], [], [], []
    computed: list[Score] = []
    progress.start(len(scores) * nodes, "integrating gradients")
    for score in scores:

        def compute(score: Score = score) -> dict[str, Tensor]:
            computed.append(score)
            sweep = PartSweep(pair=pair, score=score, execution=execution)
            return _task(sweep, parts, nodes, tolerance, max_nodes)

        task = cells.get_or_compute(f"{score.task.name}/integrated-{nodes}", compute)
        if score not in computed:
            progress.advance(nodes)
        shares.append(task["attribution"])
        gaps.append(task["gap"].item())
        errors.append(task["error"].item())
        used.append(int(task["nodes"].item()))
    progress.stop()
    return WeightIG(
        provenance=pair.provenance(
            None, {"scores": [score.to_json() for score in scores], "nodes": nodes}
        ),
        task=tuple(score.task.name for score in scores),
        part=tuple(part.name for part in parts),
        layer=torch.tensor([part.layers[0] if part.layers else -1 for part in parts]),
        attribution=torch.stack(shares),
        gap=torch.tensor(gaps, dtype=torch.float64),
        completeness_error=torch.tensor(errors, dtype=torch.float64),
        nodes=torch.tensor(used),
    )


def _task(
    sweep: PartSweep, parts: Sequence[Part], nodes: int, tolerance: float, max_nodes: int
) -> dict[str, Tensor]:
    pair, score, execution = sweep.pair, sweep.score, sweep.execution
    gap = (sweep.evaluate(pair.post) - sweep.evaluate(pair.base)).mean().item()
    panels = 1
    while True:
        total = torch.zeros(len(parts), dtype=torch.float64)
        for alpha, weight in _quadrature(nodes, panels):
            execution.progress.advance(
                1 if panels == 1 else 0,
                f"{score.task.name}: gradient at {alpha:.2f} of the way to post",
            )
            total += weight * _gradient(sweep, parts, alpha)
        error = abs(total.sum().item() - gap) / abs(gap) if gap else float("nan")
        if not error > tolerance or nodes * panels * 2 > max_nodes:
            break
        panels *= 2
    return {
        "attribution": total,
        "gap": torch.tensor(gap, dtype=torch.float64),
        "error": torch.tensor(error, dtype=torch.float64),
        "nodes": torch.tensor(nodes * panels),
    }


def _quadrature(nodes: int, panels: int) -> list[tuple[float, float]]:
    """Gauss-Legendre nodes and weights on [0, 1], split into equal panels."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return [
        ((panel + (x + 1) / 2) / panels, w / 2 / panels)
        for panel in range(panels)
        for x, w in zip(points.tolist(), weights.tolist(), strict=True)
    ]


def _gradient(sweep: PartSweep, parts: Sequence[Part], alpha: float) -> Float[Tensor, " part"]:
    """Difference times gradient of the mean value, by part, at one point of the line."""
    pair = sweep.pair
    moved = {name: sweep.slots[name] for name in sweep.slots if name in sweep.changed}
    if not moved:
        return torch.zeros(len(parts), dtype=torch.float64)
    trunks = [sweep.trunk(pair.base, index) for index in range(len(sweep.batches))]
    points = {slot.base: torch.lerp(*slot.values, alpha) for slot in moved.values()}
    wanted = {id(slot.base) for slot in moved.values()}
    flags = {parameter: parameter.requires_grad for parameter in pair.base.parameters()}
    try:
        for parameter in flags:
            parameter.requires_grad_(id(parameter) in wanted)
            parameter.grad = None
        with replaced(points), torch.enable_grad():
            _backward(sweep, trunks)
        share = {
            name: (slot.base.grad.double() * _difference(slot)).sum().item()
            for name, slot in moved.items()
            if slot.base.grad is not None
        }
    finally:
        for parameter, flag in flags.items():
            parameter.grad = None
            parameter.requires_grad_(flag)
    return torch.tensor(
        [sum(share.get(name, 0.0) for name in part.slots) for part in parts], dtype=torch.float64
    )


def _difference(slot: Slot) -> Tensor:
    """Post minus base, in float64."""
    base, post = slot.values
    return post.double() - base.double()


def _backward(sweep: PartSweep, trunks: Sequence[Trunk | None]) -> None:
    """Gradient of the task's mean value at base's current weights, stored in the parameters.

    The candidates of one problem may be in several batches, so the value's derivative by every
    score is computed first, without a graph; each batch is then back-propagated from these.
    """
    pair, score, rows = sweep.pair, sweep.score, sweep.rows
    assert rows is not None
    first = sweep.entry(all_parts(pair)["all"])

    def reads_of(index: int) -> ReadScores:
        return sweep.above(pair.base, sweep.batches[index], trunks[index], first)

    def value(reads: ReadScores) -> Tensor:
        scores = reduce_scores(rows, reads)
        return (
            scores.probability if score.metric == "probability" else scores.normalised_log_prob
        ).mean()

    if len(trunks) == 1:
        value(reads_of(0)).backward()
        return
    with torch.no_grad():
        reads = [reads_of(index) for index in range(len(trunks))]
    joined = ReadScores.cat(reads)
    leaf = joined.log_prob.clone().requires_grad_(True)
    value(replace(joined, log_prob=leaf)).backward()
    assert leaf.grad is not None
    slopes = leaf.grad.split([len(read.log_prob) for read in reads])
    for index, slope in enumerate(slopes):
        (reads_of(index).log_prob * slope).sum().backward()
