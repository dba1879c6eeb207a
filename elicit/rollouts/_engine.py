"""Texts from the engine that serves a model."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from elicit.edits import Edit
from elicit.engines import Draws, engine_of, pushes_of
from elicit.rollouts.streams import stream_key
from elicit.rollouts.values import Sampling
from elicit.surroundings import foreign_hook


@runtime_checkable
class Begun(Protocol):
    """A text so far; see `Row`."""

    @property
    def problem(self) -> str:
        """Id of its problem."""
        ...

    @property
    def sample(self) -> int:
        """Number of the text among those of its problem."""
        ...

    @property
    def prompt(self) -> tuple[int, ...]:
        """Token ids before the text."""
        ...

    @property
    def text(self) -> tuple[int, ...]:
        """Token ids of the text so far."""
        ...


def from_engine(
    model: nn.Module,
    edits: Sequence[Edit],
    sampling: Sampling,
    rooms: Sequence[int],
    batch: Sequence[Begun],
) -> dict[str, Tensor] | None:
    """New tokens of a batch, one row after the other; None where no engine does exactly that.

    Sampled texts come of the engine's own generator, seeded for every row.

    `rooms`: maximum new tokens of each row.
    """
    engine = engine_of(model)
    if engine is None or foreign_hook(model, edits=False):
        return None
    given = [[*row.prompt, *row.text] for row in batch]
    pushes = [
        pushes_of(edits, place, len(row.prompt), len(ids))
        for place, (row, ids) in enumerate(zip(batch, given, strict=True))
    ]
    steps = [step for push in pushes if push is not None for step in push.steps]
    if any(push is None for push in pushes) or any(engine.refuses(s.site) for s in steps):
        return None
    written = []
    for row, ids, room, push in zip(batch, given, rooms, pushes, strict=True):
        draws = Draws(
            max_new_tokens=room,
            stop_ids=tuple(sampling.stop_ids),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=stream_key(sampling.seed, row.problem, row.sample) + len(row.text),
        )
        written.append(engine.write(ids, draws, push))
    return {
        "written": torch.tensor([i for row in written for i in row], dtype=torch.long),
        "n_tokens": torch.tensor([len(row) for row in written]),
    }
