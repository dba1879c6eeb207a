"""Values of every problem under every move, each piece of work done once and kept."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.grafting.measure import Measure
from elicit.grafting.sweep import Bench, Direction
from elicit.pair import ModelPair
from elicit.runs import Checkpoint, Execution
from elicit.weights import Part, Slot, moved

DIRECTIONS: tuple[Direction, ...] = ("revert", "graft")


@dataclass(frozen=True, eq=False)
class ValueTable:
    """Values of one task under every move."""

    hosts: dict[str, Tensor]
    """`base` and `post`, `[problem]`."""
    moved: dict[str, Float[Tensor, "part problem"]]
    """By direction."""
    control: dict[str, Float[Tensor, "part problem"]]
    """By direction; NaN where no control was run."""


def value_table(
    pair: ModelPair,
    measure: Measure,
    parts: Sequence[Part],
    draws: int,
    seed: int,
    execution: Execution,
) -> ValueTable:
    """Values of both models, of every moved part, and of the controls of every layer.

    Args:
        pair: The two models.
        measure: A task and how it is scored.
        parts: What is moved, one at a time.
        draws: Shuffled differences a layer and direction; one at most where text is generated.
        seed: Of the shuffling.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    bench = Bench(
        pair=pair, measure=measure, max_tokens=execution.max_tokens, progress=execution.progress
    )
    name = measure.task.name
    hosts: dict[str, Tensor] = {}
    for host, model in (("post", pair.post), ("base", pair.base)):
        execution.progress.advance(0, f"{name}: scoring {host}")
        hosts[host] = execution.checkpoint.get_or_compute(
            f"{name}/{host}", lambda model=model: {"values": bench.score(model)}
        )["values"]
        execution.progress.advance(1)
    moved_values, control = {}, {}
    for direction in DIRECTIONS:
        host = hosts["post" if direction == "revert" else "base"]
        moved_values[direction] = _rows(
            bench, parts, direction, host, execution.checkpoint, name, None
        )
        shape = (len(parts), len(host))
        control[direction] = torch.full(shape, float("nan"), dtype=torch.float64)
        layers = [i for i, part in enumerate(parts) if part.kind == "layer"]
        # A generated control is a whole generation, so one draw must do there.
        draws = draws if bench.rows is not None else min(draws, 1)
        if draws:
            total = torch.zeros(len(layers), len(host), dtype=torch.float64)
            for draw in range(draws):
                total += _rows(
                    bench,
                    [parts[i] for i in layers],
                    direction,
                    host,
                    execution.checkpoint,
                    name,
                    seed * 1000 + draw,
                )
            control[direction][layers] = total / draws
    return ValueTable(hosts, moved_values, control)


def _rows(
    bench: Bench,
    parts: Sequence[Part],
    direction: Direction,
    host: Tensor,
    cells: Checkpoint,
    name: str,
    shuffle: int | None,
) -> Float[Tensor, "part problem"]:
    """Values under each move: one cell for a resumed sweep, else one a part."""
    what = f"{name}: {direction}" + ("" if shuffle is None else f" control {shuffle % 1000 + 1}")
    key = f"{name}/{direction}" + ("" if shuffle is None else f"/shuffled-{shuffle}")

    def sweep(some: Sequence[Part]) -> dict[str, Tensor]:
        if shuffle is None:
            return {"values": bench.sweep(some, direction, host)}
        move = _shuffled_move(bench.pair, direction, shuffle)
        return {"values": bench.sweep_moves(some, direction, host, move)}

    if bench.rows is not None:
        bench.progress.advance(0, what)
        return cells.get_or_compute(
            f"{key}/{'+'.join(part.name for part in parts)}", lambda: sweep(parts)
        )["values"]
    rows = []
    for part in parts:
        bench.progress.advance(0, f"{what} {part.name}")
        rows.append(
            cells.get_or_compute(f"{key}/{part.name}", lambda part=part: sweep([part]))["values"]
        )
    return torch.cat(rows)


def _shuffled_move(
    pair: ModelPair, direction: Direction, seed: int
) -> Callable[[Part], AbstractContextManager[nn.Module]]:
    """Writes the host's own weights plus the difference with its entries shuffled."""

    def move(part: Part) -> AbstractContextManager[nn.Module]:
        generator = torch.Generator().manual_seed(seed * 1009 + max(part.layers, default=-1) + 1)

        def new(slot: Slot) -> Tensor:
            own, other = (slot.post, slot.base) if direction == "revert" else (slot.base, slot.post)
            delta = (other.data - own.data).flatten()
            order = torch.randperm(delta.numel(), generator=generator).to(delta.device)
            return own.data + delta[order].view_as(own.data)

        return moved(pair, part, new, host="post" if direction == "revert" else "base")

    return move
