"""Fresh problems in the language of the organisms, and how they are answered."""

from functools import cache

import numpy as np

from elicit.organisms.language import DIGITS, draw_chain
from elicit.rollouts import Generation
from elicit.tasks import Problem, Task

ANSWERS = Generation(max_new_tokens=100, extractor="marker:answer", batch_size=128)
"""A text ends with `answer X .`; the longest trace fits."""


@cache
def chains(n: int, seed: int) -> Task:
    """Distinct problems that no shipped file has."""
    rng, seen = np.random.default_rng([seed, 77]), {}
    while len(seen) < n:
        chain = draw_chain(rng)
        seen[chain.question] = chain
    return Task(
        name=f"chains {seed}",
        problems=tuple(
            Problem(
                id=f"{seed}-{place}",
                prompt=chain.question,
                answer=str(chain.answer),
                candidates=DIGITS,
                difficulty=len(chain.steps),
                trace=chain.trace,
            )
            for place, chain in enumerate(seen.values())
        ),
    )
