"""Localisation: which layers changed, are corrupted, or carry the skill."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from elicit.grafting._conclusion import DIRECTIONS, Margins, ValueTable, conclude
from elicit.grafting.roles import LayerRoles
from elicit.grafting.score import GraftError, Score
from elicit.grafting.sweep import Direction, PartSweep
from elicit.pair import ModelPair
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.weights import Part, Slot, moved, parts_of

KINDS = ("layer", "attn", "mlp", "outside")


def localise(
    pair: ModelPair,
    *,
    damage: Score | None = None,
    skill: Score | None = None,
    kinds: Sequence[str] = KINDS,
    controls: int = 2,
    margins: Margins = Margins(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> LayerRoles:
    """Which layers changed, are corrupted, or carry the skill, by moving every part both ways.

    A part is corrupted if, on a task where post lost, reverting it heals and grafting it harms,
    both simultaneous intervals exclude 0 and both effects reach the margin's share of the gap; it
    carries the skill if the opposite holds on a task where post gained. Roles of tasks are
    measured, whichever argument they are passed as.

    Args:
        pair: The two models.
        damage: Task on which post may have lost (knowledge).
        skill: Task on which post may have gained (problems).
        kinds: Kinds of part to move, of `layer`, `attn`, `mlp`, `norms`, `matrix`, `outside`.
        controls: Shuffled differences of the same norm averaged per layer and direction; generated
            tasks use at most one, since each is a full generation; 0 runs none.
        margins: Minimum gap and effect.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, checkpoint and progress.

    Raises:
        GraftError: No task, or two with the same name.
    """
    scores = [score for score in (damage, skill) if score is not None]
    if not scores:
        raise GraftError(
            "no task was given, so there is nothing to score. Pass damage=, skill=, or both."
        )
    if len({score.task.name for score in scores}) < len(scores):
        raise GraftError(
            f"both tasks are called {scores[0].task.name!r}, so their results could not be "
            f"distinguished. Rename one."
        )
    sweeps = [PartSweep(pair=pair, score=score, execution=execution) for score in scores]
    parts = [part for kind in dict.fromkeys(kinds) for part in parts_of(pair, kind)]
    n_layers = sum(part.kind == "layer" for part in parts)
    draws = [_draws(sweep, controls) for sweep in sweeps]
    execution.progress.start(
        sum(2 * (1 + len(parts) + n * n_layers) for n in draws), "scoring both models"
    )
    tables = [
        _value_table(sweep, parts, n, inference.seed)
        for sweep, n in zip(sweeps, draws, strict=True)
    ]
    execution.progress.stop()
    return conclude(pair, parts, tables, margins=margins, inference=inference)


def _draws(sweep: PartSweep, controls: int) -> int:
    # A generated control is a full generation, so one draw is used.
    return controls if sweep.rows is not None else min(controls, 1)


def _value_table(sweep: PartSweep, parts: Sequence[Part], draws: int, seed: int) -> ValueTable:
    """Values of both models, of every moved part, and of the controls of every layer."""
    hosts: dict[str, Tensor] = {}
    for name in ("post", "base"):
        hosts[name] = sweep.host_values(name)
        sweep.execution.progress.advance()
    moved_values, control = {}, {}
    layers = [i for i, part in enumerate(parts) if part.kind == "layer"]
    for direction in DIRECTIONS:
        host = hosts["post" if direction == "revert" else "base"]
        moved_values[direction] = sweep.part_values(parts, direction, host)
        control[direction] = host.new_full((len(parts), len(host)), torch.nan)
        if draws:
            total = host.new_zeros(len(layers), len(host))
            for draw in range(draws):
                total += sweep.part_values(
                    [parts[i] for i in layers],
                    direction,
                    host,
                    move=_shuffled_move(sweep.pair, direction, seed * 1000 + draw),
                    name=f"shuffled-{seed * 1000 + draw}",
                )
            control[direction][layers] = total / draws
    return ValueTable(sweep.score, hosts, moved_values, control)


def _shuffled_move(
    pair: ModelPair, direction: Direction, seed: int
) -> Callable[[Part], AbstractContextManager[nn.Module]]:
    """Move that adds the weight difference with its entries shuffled."""

    def move(part: Part) -> AbstractContextManager[nn.Module]:
        generator = torch.Generator().manual_seed(seed * 1009 + max(part.layers, default=-1) + 1)

        def new(slot: Slot) -> Tensor:
            base, post = slot.values
            host, donor = (post, base) if direction == "revert" else (base, post)
            delta = (donor - host).flatten()
            order = torch.randperm(delta.numel(), generator=generator).to(delta.device)
            return host + delta[order].view_as(host)

        return moved(pair, part, new, host="post" if direction == "revert" else "base")

    return move
