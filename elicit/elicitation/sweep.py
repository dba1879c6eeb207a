"""Search over sites and strengths, and the test of many directions at the chosen one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.directions import Direction, batched_directions
from elicit.edits import Where
from elicit.elicitation._unsteered import Unsteered
from elicit.elicitation.arms import Arm
from elicit.elicitation.choice import best_cell, coherent_cells
from elicit.elicitation.outcomes import Outcomes
from elicit.rollouts import Generation, dose_rollouts
from elicit.runs import Execution


@dataclass(frozen=True, eq=False, kw_only=True)
class Sweep:
    """Outcomes of arms at every strength, on selection problems."""

    unsteered: Unsteered
    """The same problems without steering."""
    strength: Float[Tensor, " strength"]
    """Strength."""
    score: Float[Tensor, "problem metric arm strength"]
    """Share of texts that are right, then of those that show each marker."""
    coherent: Float[Tensor, "problem arm strength"]
    """Share of coherent texts."""

    def best(self, row: int, *, raised: bool, tie: int | None = None) -> tuple[int, int]:
        """Index of the arm and of the strength to test: `best_cell` among coherent texts.

        Args:
            row: Index of the metric whose rate counts.
            raised: Whether a higher rate is better.
            tie: Index of the metric that breaks ties; None: the same.
        """
        rates = self.score.mean(0)
        least = self.unsteered.own.coherent.mean().item()
        return best_cell(
            rates[row],
            self.strength,
            raised=raised,
            unsteered=float(self.unsteered.base[:, row].mean()),
            among=coherent_cells(self.coherent.mean(0), least) & (self.strength != 0),
            tie=None if tie is None else rates[tie],
        )


def sweep_arms(
    unsteered: Unsteered,
    arms: Sequence[Arm],
    *,
    strengths: Sequence[float],
    generation: Generation = Generation(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> Sweep:
    """Outcomes of several arms at every strength, such as one direction per site.

    Args:
        unsteered: Unsteered texts, with the same generation and seed.
        arms: The arms.
        strengths: Distinct strengths.
        generation: Generation options.
        seed: Seed of all random streams.
        execution: Checkpoint and progress.
    """
    each: list[Outcomes] = []
    for arm in arms:
        texts = dose_rollouts(
            unsteered.side,
            unsteered.task,
            arm.edit,
            strengths=strengths,
            generation=generation,
            seed=seed,
            execution=execution,
        )
        each.append(unsteered.outcomes(texts, n_cells=len(strengths)))
    return Sweep(
        unsteered=unsteered,
        strength=torch.tensor([float(strength) for strength in strengths]).double(),
        score=torch.stack([one.score for one in each], dim=2),
        coherent=torch.stack([one.coherent for one in each], dim=1),
    )


def steer_many(
    unsteered: Unsteered,
    directions: Sequence[Direction],
    *,
    strength: float | Sequence[float],
    where: Where,
    generation: Generation = Generation(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> Outcomes:
    """Outcomes of many directions at one site, all in the same batches.

    Args:
        unsteered: Unsteered texts, with the same generation and seed.
        directions: Directions, all at one site.
        strength: Strength of all, or of each.
        where: Positions of the edit.
        generation: Generation options.
        seed: Seed of all random streams.
        execution: Checkpoint and progress.

    Returns:
        One cell per direction.
    """
    texts = dose_rollouts(
        unsteered.side,
        unsteered.task,
        batched_directions(directions, scale=strength, where=where),
        strengths=[float(number) for number in range(len(directions))],
        generation=generation,
        seed=seed,
        execution=execution,
    )
    return unsteered.outcomes(texts, n_cells=len(directions))
