"""How every text of a dose curve is written, and what is refused before one is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from elicit.edits import Edited, Where
from elicit.elicitation.arms import Arm, check_arms
from elicit.elicitation.dose_values import Behaviour
from elicit.elicitation.errors import ElicitationError
from elicit.pair import Side
from elicit.rollouts import (
    Generation,
    Rollouts,
    check_prompts,
    check_strengths,
    dose_rollouts,
    edits_digest,
    rollouts,
)
from elicit.runs import Execution
from elicit.tasks import Task

UNSTEERED, TARGET = "unsteered", "target"
"""Names of the two models that are left alone."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How every text of a curve is written."""

    side: Side
    """The model that is steered."""
    generation: Generation
    """How texts are generated."""
    seed: int
    """Of all random streams."""
    execution: Execution
    """Checkpoint and progress."""

    def plain(self, task: Task, side: Side | None = None) -> Rollouts:
        """Texts of a model as it is.

        Args:
            task: Problems.
            side: Another model than the one that is steered.
        """
        return rollouts(
            side or self.side,
            task,
            generation=self.generation,
            seed=self.seed,
            execution=self.execution,
        )

    def steered(self, task: Task, arm: Arm, strengths: Sequence[float]) -> Rollouts:
        """Texts under one arm at every strength.

        Args:
            task: Problems.
            arm: What is done.
            strengths: How strongly.
        """
        return dose_rollouts(
            self.side,
            task,
            arm.edit,
            strengths=strengths,
            generation=self.generation,
            seed=self.seed,
            execution=self.execution,
        )

    def told(self) -> dict[str, object]:
        """What of it the texts depend on, for a result's origin."""
        return {
            "stop_ids": list(self.generation.stops(self.side)),
            "n_samples": self.generation.n_samples,
            "temperature": self.generation.temperature,
            "max_new_tokens": self.generation.max_new_tokens,
            "templated": self.generation.templated,
        }

    def check(
        self,
        task: Task,
        arms: Sequence[Arm],
        strengths: Sequence[float],
        behaviours: Mapping[str, Behaviour],
    ) -> None:
        """Refuse what would fail, or say nothing, only after long work.

        Args:
            task: Problems.
            arms: What is done to it.
            strengths: How strongly.
            behaviours: What is looked for besides right answers.

        Raises:
            ElicitationError: There are fewer than 2 problems, a behaviour is called `accuracy`, or
                arms cannot be held against each other.
            RolloutError: Strengths are missing, not finite or there twice, or an edit's function
                does not say what it does.
            EditError: An edit does not fit the model, or its tokens the prompts.
            TaskError: A prompt leaves no room for a text.
        """
        check_strengths(strengths)
        check_arms(arms)
        if len(task) < 2:
            raise ElicitationError(
                f"the task has {len(task)} problem, and intervals are over problems, so nothing "
                "could be said about others. Pass at least 2."
            )
        if "accuracy" in behaviours:
            raise ElicitationError(
                "a behaviour is called 'accuracy', and so is the share of right answers, so the "
                "two could not be told apart. Call it by another name."
            )
        prompts = check_prompts(self.side, task, templated=self.generation.templated)
        lengths = sorted({len(ids) for ids in prompts})
        for arm in arms:
            edits = arm.edits()
            Edited(self.side.bridge, edits, None)
            edits_digest(edits)  # a result says what was done, so what cannot be told is refused
            for edit in edits:
                where = getattr(edit, "where", None)
                if isinstance(where, Where) and where.form in ("at", "last"):
                    for length in lengths:
                        where.check(torch.arange(length)[None], torch.tensor([length]), (0,))


def worded(wordings: Mapping[str, Task], task: Task) -> dict[str, Task]:
    """The problems of a task in other wordings.

    Args:
        wordings: Tasks that hold these problems, by their ids, under other prompts.
        task: The problems.

    Raises:
        ElicitationError: A name is taken, or a wording lacks a problem or gives another answer.
    """
    found: dict[str, Task] = {}
    for name, other in wordings.items():
        if name in (UNSTEERED, TARGET):
            raise ElicitationError(
                f"a wording is called {name!r}, and so is a model that is left alone, so the two "
                "could not be told apart. Call it by another name."
            )
        known = {problem.id: problem for problem in other}
        lost = [p.id for p in task if p.id not in known or known[p.id].answer != p.answer]
        if lost:
            raise ElicitationError(
                f"the wording {name!r} lacks problem {lost[0]!r} or gives it another answer, and "
                f"{len(lost) - 1} more, so it asks something else. Reword the same problems."
            )
        # What is asked with the prompt is the task's own; only the words differ.
        found[name] = Task(
            name=f"{task.name}, {name}",
            problems=tuple(replace(p, prompt=known[p.id].prompt) for p in task),
        )
    return found
