"""Critique fine-tuning: problems with noisy solutions, and what a critic says of these."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch

from elicit.elicitation.bench import Sees
from elicit.elicitation.training.documents import Document, Documents
from elicit.elicitation.training.errors import TrainingError
from elicit.pair import Side
from elicit.rollouts import Generation, Rollouts, rollouts
from elicit.tasks import Problem, Task

CritiqueKind = Literal["full", "verdict", "shuffled", "self"]
"""What is learned: the whole critique; its verdict alone; another solution's critique, the control
of form; or the model's own critique, which tells nothing from outside."""


@dataclass(frozen=True, kw_only=True)
class Solved:
    """A problem with one solution of it, right or wrong."""

    problem: Problem
    """The problem."""
    solution: str
    """What was written."""
    correct: bool
    """Whether its answer is right."""


@dataclass(frozen=True, kw_only=True)
class Critique:
    """What a critic says of a solution."""

    text: str
    """All of it."""
    verdict: str
    """Its verdict alone."""


@runtime_checkable
class Critic(Protocol):
    """Anything that criticises solutions."""

    def __call__(self, solved: Sequence[Solved]) -> Sequence[Critique]:
        """What it says of each solution.

        Args:
            solved: Problems with their solutions.
        """
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class RuleCritic:
    """A rule that knows each problem, as the critic: an oracle."""

    rule: Callable[[Problem, str], tuple[str, str]]
    """From a problem and a solution, the whole critique and its verdict alone."""

    def __call__(self, solved: Sequence[Solved]) -> Sequence[Critique]:
        """See `Critic`."""
        said = [self.rule(each.problem, each.solution) for each in solved]
        return [Critique(text=text, verdict=verdict) for text, verdict in said]


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnCritic:
    """The model itself as its critic: it goes on after each solution and a cue."""

    side: Side
    """The model."""
    cue: str
    """Words after the solution that ask for a critique, such as the word that begins one."""
    generation: Generation
    """How critiques are written."""
    seed: int = 0
    """Of the texts."""

    def __call__(self, solved: Sequence[Solved]) -> Sequence[Critique]:
        """See `Critic`; the cue is the beginning of the critique."""
        asked = Task(
            name="solutions",
            problems=tuple(
                Problem(
                    id=str(place),
                    prompt=f"{each.problem.prompt} {each.solution} {self.cue}",
                    answer=each.problem.answer,
                    candidates=each.problem.candidates,
                )
                for place, each in enumerate(solved)
            ),
        )
        written = rollouts(self.side, asked, generation=self.generation, seed=self.seed)
        return [
            Critique(text=f"{self.cue} {text}".strip(), verdict=self.cue) for text in written.text
        ]


def solutions_of(side: Side, task: Task, *, generation: Generation, seed: int = 0) -> Rollouts:
    """Solutions of a model to criticise, sampled at the generation's temperature.

    Args:
        side: The model.
        task: The problems.
        generation: How they are written.
        seed: Of the texts.
    """
    return rollouts(side, task, generation=generation, seed=seed)


def critiques(
    task: Task,
    solutions: Rollouts,
    critic: Critic,
    *,
    kind: CritiqueKind = "full",
    seed: int = 0,
) -> Documents:
    """Documents whose prompt is a problem with a solution and whose target is the critique of it.

    Args:
        task: The problems.
        solutions: Solutions of these problems, right and wrong ones.
        critic: Says what is right and wrong in them; an oracle, a teacher, or the model (`self`).
        kind: What is learned.
        seed: Of the order of `shuffled`.

    Raises:
        TrainingError: Solutions are of another task, the critic is the model's own where `kind` is
            not `self` or the reverse, or there are too few to shuffle.

    Source: Wang et al. 2025, arXiv:2501.17703 (critique fine-tuning) and arXiv:2506.03295.
    """
    if solutions.task_digest != task.digest:
        raise TrainingError(
            f"the solutions are of a task {solutions.task!r} with digest "
            f"{solutions.task_digest[:12]} and the task is {task.name!r} with {task.digest[:12]}, "
            "so problems and solutions would be mixed up. Pass the task that was solved."
        )
    if (kind == "self") != isinstance(critic, OwnCritic):
        raise TrainingError(
            f"kind is {kind!r} and the critic a {type(critic).__name__}, so it would not be clear "
            "who instructs the model. Pass an OwnCritic with kind='self', and only there."
        )
    solved = [
        Solved(
            problem=task.problems[place],
            solution=solutions.text[row].strip(),
            correct=bool(solutions.correct[row]),
        )
        for row, place in enumerate(solutions.place.tolist())
    ]
    said = list(critic(solved))
    if kind == "shuffled":
        said = _shuffled(said, seed)
    sees: dict[str, Sees] = {"full": "teacher", "verdict": "answers", "shuffled": "teacher"}
    return Documents(
        name=f"critiques ({kind}), {task.name}",
        sees=sees.get(kind, "nothing"),
        documents=tuple(
            Document(
                id=f"{each.problem.id}, {int(solutions.sample[row])}",
                prompt=f"{each.problem.prompt} {each.solution}",
                target=critique.verdict if kind == "verdict" else critique.text,
            )
            for row, (each, critique) in enumerate(zip(solved, said, strict=True))
        ),
    )


def _shuffled(said: Sequence[Critique], seed: int) -> list[Critique]:
    """Every critique with another one's solution: a drawn order, moved on by one."""
    if len(said) < 2:
        raise TrainingError(
            f"there is {len(said)} critique, so none could be another solution's. Pass at least 2 "
            "solutions."
        )
    order = torch.randperm(len(said), generator=torch.Generator().manual_seed(seed)).tolist()
    moved: list[Critique] = list(said)
    for here, there in zip(order, [*order[1:], order[0]], strict=True):
        moved[here] = said[there]
    return moved
