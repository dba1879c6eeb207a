"""Steered texts beside unsteered ones, for reading."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from elicit.elicitation.arms import Arm
from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.goal import TARGET, UNSTEERED
from elicit.pair import Side
from elicit.results import Result
from elicit.rollouts import Generation, dose_rollouts, rollouts
from elicit.runs import Execution
from elicit.tasks import Task

SHOWN = 6
"""Problems whose texts are kept."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SteeredTexts(Result):
    """Texts for the same problems: unsteered, under each arm, and from the target."""

    strength: float
    """How strongly every arm pushes."""
    writer: tuple[str, ...]
    """`unsteered`, each arm by its name, then the `target` if there is one."""
    problem: tuple[str, ...]
    """Id of each problem."""
    prompt: tuple[str, ...]
    """What was asked."""
    answer: tuple[str, ...]
    """The right answer."""
    text: tuple[tuple[str, ...], ...]
    """What each writer wrote to each problem. Text of a model: never trusted."""
    correct: Bool[Tensor, "writer problem"]
    """Whether it gives the right answer."""


def steered_texts(
    side: Side,
    task: Task,
    arms: Sequence[Arm],
    *,
    strength: float,
    target: Side | None = None,
    generation: Generation = Generation(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> SteeredTexts:
    """Texts for the first `SHOWN` problems of a task, under every arm and unsteered.

    All problems are run, so that the checkpoint of a dose curve is reused.

    Args:
        side: The model that is steered.
        task: Problems.
        arms: The arms.
        strength: Strength.
        target: Target model, shown for comparison.
        generation: Generation options; one sample per problem.
        seed: Seed of texts.
        execution: Checkpoint and progress.

    Raises:
        ElicitationError: `generation` has several samples per problem.
    """
    if generation.n_samples != 1:
        raise ElicitationError(
            f"n_samples is {generation.n_samples}, and one text a problem is shown. Pass "
            "n_samples=1."
        )
    how = {"generation": generation, "seed": seed, "execution": execution}
    found = {UNSTEERED: rollouts(side, task, **how)}
    for arm in arms:
        found[arm.name] = dose_rollouts(side, task, arm.edit, strengths=[strength], **how)
    if target is not None:
        found[TARGET] = rollouts(target, task, **how)
    shown = task.problems[:SHOWN]
    return SteeredTexts(
        strength=float(strength),
        writer=tuple(found),
        problem=tuple(problem.id for problem in shown),
        prompt=tuple(problem.prompt for problem in shown),
        answer=tuple(problem.answer for problem in shown),
        text=tuple(one.text[:SHOWN] for one in found.values()),
        correct=torch.stack([one.correct[:SHOWN] for one in found.values()]),
    )
