"""Base under a push, under both prompts of a behaviour, and as it is."""

import math
from collections.abc import Sequence

from elicit.elicitation.arms import Arm
from elicit.elicitation.bench import Bench, Writes
from elicit.rollouts import Generation, Rollouts, dose_rollouts, rollouts
from elicit.runs import Execution
from elicit.tasks import NEGATIVE, POSITIVE, Task


def pushed(bench: Bench, arm: Arm, strength: float) -> Writes:
    """Base's texts under a push.

    Args:
        bench: Problems, models and limits.
        arm: The push.
        strength: How strongly.
    """

    def write(task: Task, generation: Generation, execution: Execution) -> Rollouts:
        return dose_rollouts(
            bench.base,
            task,
            arm.edit,
            strengths=[strength],
            generation=generation,
            seed=bench.inference.seed,
            execution=execution,
        )

    return write


def prompt_bits(bench: Bench) -> float:
    """Bits of the words in which the two prompts of the behaviour differ, at most.

    Args:
        bench: Problems, models and limits.
    """
    read = bench.pair.alignment.prompt
    templated = bench.generation.templated
    positive, negative = (
        [read(problem.turns, templated=templated) for problem in task]
        for task in worded(bench, bench.fit)
    )
    tokens = max(_apart(one, other) for one, other in zip(positive, negative, strict=True))
    return tokens * math.log2(bench.pair.alignment.d_vocab)


def _apart(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens of both rows between their common beginning and their common end."""
    least = min(len(one), len(other))
    first = next((i for i in range(least) if one[i] != other[i]), least)
    rest = least - first
    end = next((i for i in range(rest) if one[-1 - i] != other[-1 - i]), rest)
    return len(one) + len(other) - 2 * (first + end)


def worded(bench: Bench, task: Task) -> tuple[Task, Task]:
    """Problems under the two prompts of the behaviour."""
    asked = bench.behaviour.asked(task)
    return asked[POSITIVE], asked[NEGATIVE]


def plain_texts(bench: Bench, task: Task) -> Rollouts:
    """Base's greedy texts."""
    return rollouts(
        bench.base,
        task,
        generation=bench.generation,
        seed=bench.inference.seed,
        execution=bench.execution,
    )
