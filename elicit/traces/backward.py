"""Backward questions: a number of the question taken out, the answer told, the number asked for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from elicit.tasks import Problem, Task, numbers, plain
from elicit.traces.conditions import Condition
from elicit.traces.errors import TraceError


@runtime_checkable
class Backward(Protocol):
    """Anything that turns a problem round."""

    def __call__(self, problem: Problem) -> Problem | None:
        """The backward problem, with the same id; None where it has none.

        Args:
            problem: The problem as it is.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class NumberMasked:
    """One number of the question is `X`, the answer is told, and X is asked for."""

    mask: str = "X"
    """What stands in its place; must not occur in a question."""
    question: str = " The answer to this is {answer}. What is {mask}?"
    """What follows the question."""
    seed: int = 0
    """Draws the number."""

    def __call__(self, problem: Problem) -> Problem | None:
        """See `Backward`. A number that stands there twice is not taken: it would be told."""
        if plain(problem.prompt) != problem.prompt or self.mask in problem.prompt.split():
            return None
        found = list(numbers(problem.prompt))
        values = [number.value for number in found]
        once = [n for n in found if not n.glued and values.count(n.value) == 1]
        if not once:
            return None
        digest = [self.seed, *problem.id.encode()]
        taken = once[int(np.random.default_rng(digest).integers(len(once)))]
        prompt = f"{problem.prompt[: taken.start]}{self.mask}{problem.prompt[taken.end :]}"
        told = self.question.format(answer=problem.answer, mask=self.mask)
        return replace(
            problem,
            prompt=f"{prompt}{told}",
            answer=taken.literal,
            candidates=None,
            trace=None,
            edited=None,
        )


def backward_conditions(
    task: Task,
    backward: Backward | Callable[[Problem], Problem | None] = NumberMasked(),
    *,
    opener: str = "",
) -> dict[str, Condition]:
    """The problems of a task forward and backward, for `conditions`.

    `kept` of the backward condition is the consistency: of the problems that are solved forward,
    the share that is solved backward too. Beside it stands `floor`: where answers repeat, some are
    right by chance, and far below it the form of the question is not understood.

    Args:
        task: The problems.
        backward: Turns a problem round; those without a backward one are left out of both.
        opener: Text that begins each model's text.

    Raises:
        TraceError: Fewer than two problems have a backward one, or it changes their ids.

    Source: forward and backward questions as in Chen et al. 2024 (arXiv:2411.19865).
    """
    turned = {problem.id: backward(problem) for problem in task}
    kept = [problem for problem in task if turned[problem.id] is not None]
    back = [each for each in turned.values() if each is not None]
    if len(back) < 2 or [p.id for p in back] != [p.id for p in kept]:
        raise TraceError(
            f"{len(back)} of {len(task)} problems have a backward question of the same id, and "
            "intervals are over at least two. Give problems that name their numbers once, or a "
            "way of your own to turn them round."
        )
    return {
        "forward": Condition(task=Task(name=task.name, problems=tuple(kept)), opener=opener),
        "backward": Condition(
            task=Task(name=f"{task.name}, backward", problems=tuple(back)), opener=opener
        ),
    }
