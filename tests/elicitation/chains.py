"""Fresh problems in the language of the organisms, and how they are answered."""

from functools import cache

from elicit import organisms
from elicit.rollouts import Generation
from elicit.tasks import Task, load_task

ANSWERS = Generation(max_new_tokens=100, extractor="marker:answer", batch_size=128)
"""A text ends with `answer X .`; the longest trace fits."""


@cache
def chains(n: int, seed: int) -> Task:
    """Problems that no shipped file has, as many of every length."""
    shipped = load_task(organisms.resolve("organism:rl").problems)
    without = {problem.prompt for problem in shipped}
    return organisms.drawn_task(n, seed=seed, without=without, name=f"chains-{seed}")
