"""Fresh problems of the organisms' language, beside those of the task files."""

from collections.abc import Collection

import numpy as np

from elicit.organisms.errors import OrganismError
from elicit.organisms.language import Chain, draw_chain
from elicit.tasks import Problem, Task

_LONGEST = 6
"""Steps of the longest problem."""


def drawn_task(n: int, *, seed: int, without: Collection[str] = (), name: str = "drawn") -> Task:
    """Chained arithmetic with its answers and traces, as many of every length.

    Args:
        n: Problems, at least 1.
        seed: Of the draw.
        without: Prompts that are not drawn, such as those of a task that is tested on.
        name: Name of the task.

    Raises:
        OrganismError: No problem was asked for.
    """
    if n < 1:
        raise OrganismError(f"{n} problems were asked for, so there is no task. Pass 1 or more.")
    rng = np.random.default_rng([seed, 7])
    taken, problems = set(without), []
    while len(problems) < n:
        chain = draw_chain(rng, n_steps=len(problems) % _LONGEST + 1)
        if chain.question not in taken:
            taken.add(chain.question)
            problems.append(_problem(chain, f"{name}-{len(problems):04d}"))
    return Task(name=name, problems=tuple(problems))


def _problem(chain: Chain, name: str) -> Problem:
    return Problem(
        id=name,
        prompt=chain.question,
        answer=str(chain.answer),
        candidates=tuple(map(str, range(10))),
        difficulty=len(chain.steps),
        trace=chain.trace,
    )
