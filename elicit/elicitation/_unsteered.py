"""Unsteered texts of a model and its target: the baseline of every effect."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.coherence import Reference
from elicit.elicitation.estimates import gaps_of
from elicit.elicitation.goal import Goal
from elicit.elicitation.outcomes import Outcomes, outcomes
from elicit.pair import Side
from elicit.results import Estimate
from elicit.rollouts import Generation, Rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Unsteered:
    """Unsteered texts of a model, and of the target if there is one."""

    side: Side
    """The steered model."""
    task: Task
    """The problems."""
    goal: Goal
    """Target model and metrics."""
    texts: Rollouts
    """What the model writes."""
    target_texts: Rollouts | None
    """What the target writes."""
    references: tuple[Reference, ...]
    """Both models, by which texts are coherent."""
    own: Outcomes
    """What the model's texts show."""
    target: Outcomes | None
    """What the target's texts show."""

    @classmethod
    def of(
        cls, side: Side, task: Task, goal: Goal, texts: Rollouts, target_texts: Rollouts | None
    ) -> "Unsteered":
        """From existing texts.

        Args:
            side: The steered model.
            task: The problems.
            goal: Target model and metrics.
            texts: What the model writes.
            target_texts: What the target writes; None without a target.
        """
        references = (Reference.of(side, texts),)
        target = None
        if goal.target is not None and target_texts is not None:
            references = (*references, Reference.of(goal.target, target_texts))
            target = outcomes(target_texts, references, goal)
        return cls(
            side=side,
            task=task,
            goal=goal,
            texts=texts,
            target_texts=target_texts,
            references=references,
            own=outcomes(texts, references, goal),
            target=target,
        )

    def swapped(self) -> "Unsteered":
        """The same texts with the target as the model that is steered.

        Raises:
            ValueError: There is no target.
        """
        if self.goal.target is None or self.target_texts is None:
            raise ValueError("there is no target, so there is nothing to swap with. Pass one.")
        goal = replace(self.goal, target=self.side)
        references = self.references[::-1]
        return replace(
            self,
            side=self.goal.target,
            goal=goal,
            texts=self.target_texts,
            target_texts=self.texts,
            references=references,
            own=outcomes(self.target_texts, references, goal),
            target=outcomes(self.texts, references, goal),
        )

    @property
    def base(self) -> Float[Tensor, "problem metric"]:
        """Rate of each problem."""
        return self.own.score[:, :, 0]

    @property
    def post(self) -> Float[Tensor, "problem metric"]:
        """The target's; NaN where there is none."""
        if self.target is None:
            return torch.full_like(self.base, torch.nan)
        return self.target.score[:, :, 0]

    def gap(self, inference: Inference) -> Estimate:
        """The gap of each metric."""
        target = self.goal.target
        identical = target is not None and target.digest == self.side.digest
        return gaps_of(self.base, self.post, inference, identical=identical)

    def outcomes(self, texts: Rollouts, *, n_cells: int = 1) -> Outcomes:
        """What texts of the same problems show, coherence against these texts.

        Args:
            texts: Rows by cell, then problem, then sample.
            n_cells: Strengths, directions or prompts.
        """
        return outcomes(texts, self.references, self.goal, n_cells=n_cells)


def unsteered(
    side: Side,
    task: Task,
    *,
    goal: Goal = Goal(),
    generation: Generation = Generation(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> Unsteered:
    """Generate unsteered texts of a model and its target.

    Args:
        side: The steered model.
        task: Problems.
        goal: Target model and metrics.
        generation: Generation options.
        seed: Seed of all random streams.
        execution: Checkpoint and progress.
    """

    def write(model: Side) -> Rollouts:
        return rollouts(model, task, generation=generation, seed=seed, execution=execution)

    texts = write(side)
    theirs = None if goal.target is None else write(goal.target)
    return Unsteered.of(side, task, goal, texts, theirs)
