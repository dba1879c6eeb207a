"""Texts of models with what they answer, whatever result holds them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch

from elicit.elicitation import SteeredTexts
from elicit.exports.errors import ExportError
from elicit.grafting import Samples
from elicit.results import Result
from elicit.rollouts import Rollouts
from elicit.tasks import Task

KINDS = (SteeredTexts, Samples)
"""Results that hold texts together with prompts and answers."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """One text."""

    id: str
    """Id of the problem."""
    sample: int
    """Number among the texts of its problem, from 0."""
    prompt: str
    """What was asked."""
    answer: str
    """The right answer."""
    text: str
    """What the model wrote. Never trusted."""
    correct: bool
    """Whether it gives the right answer."""
    extracted: str | None = None
    """The answer found in it, if it is known."""


@singledispatch
def texts_of(result: Result) -> Mapping[str, tuple[Written, ...]]:
    """Texts by who wrote them.

    Args:
        result: A result of one of `KINDS`.

    Raises:
        ExportError: It holds no texts.
    """
    raise ExportError(
        f"{type(result).__name__} holds no texts with their prompts, so there is nothing to write. "
        "Pass the texts of elicit report or elicit steer."
    )


@texts_of.register
def _(result: SteeredTexts) -> Mapping[str, tuple[Written, ...]]:
    return {
        writer: tuple(
            Written(
                id=name,
                sample=0,
                prompt=result.prompt[place],
                answer=result.answer[place],
                text=result.text[row][place],
                correct=bool(result.correct[row, place]),
            )
            for place, name in enumerate(result.problem)
        )
        for row, writer in enumerate(result.writer)
    }


@texts_of.register
def _(result: Samples) -> Mapping[str, tuple[Written, ...]]:
    sides = {
        "base": (result.base_text, result.base_correct),
        "post": (result.post_text, result.post_correct),
    }
    return {
        side: tuple(
            Written(
                id=name,
                sample=0,
                prompt=result.prompt[place],
                answer=result.answer[place],
                text=texts[place],
                correct=bool(correct[place]),
            )
            for place, name in enumerate(result.sample)
        )
        for side, (texts, correct) in sides.items()
    }


def texts_of_rollouts(rollouts: Rollouts, task: Task) -> tuple[Written, ...]:
    """Texts of rollouts, with the problems that they are about.

    Args:
        rollouts: What a model wrote.
        task: The task that it wrote about.

    Raises:
        ExportError: The rollouts are about other problems.
    """
    if rollouts.task_digest != task.digest:
        raise ExportError(
            f"the rollouts are about task {rollouts.task!r} ({rollouts.task_digest[:12]}) and the "
            f"task given is {task.name!r} ({task.digest[:12]}), so texts would stand beside other "
            "problems. Pass the task that they were drawn on."
        )
    return tuple(
        Written(
            id=problem.id,
            sample=int(rollouts.sample[row]),
            prompt=problem.prompt,
            answer=problem.answer,
            text=rollouts.text[row],
            correct=bool(rollouts.correct[row]),
            extracted=rollouts.extracted[row],
        )
        for row, place in enumerate(rollouts.place.tolist())
        for problem in (task.problems[place],)
    )
