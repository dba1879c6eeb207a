"""What the tests of rollouts share: a small task and how it is sampled."""

import torch

from elicit.edits import Steer, generated, prompt
from elicit.pair import ModelPair
from elicit.rollouts import Rollouts, rollouts
from elicit.sites import resid_post
from elicit.tasks import Problem, Task
from tests.checkpoints import WORDS
from tests.folded import folded

STOPS = (2, 5, 9)
DRAWN = {"stop_ids": STOPS, "temperature": 1.0}
VECTOR = 3 * torch.randn(32, generator=torch.Generator().manual_seed(0))
GENERATED = Steer(resid_post(1), VECTOR, where=generated())
PROMPT = Steer(resid_post(1), VECTOR, where=prompt())


def task_of(n: int = 5) -> Task:
    """Problems with prompts of different lengths."""
    return Task(
        name="made",
        problems=tuple(
            Problem(id=f"p{i}", prompt=" ".join(WORDS[i : i + 2 + (3 * i) % 5]), answer="two")
            for i in range(n)
        ),
    )


def same(left, right) -> bool:
    """Whether two rollouts have the same rows with the same tokens."""
    return (
        left.written.tolist() == right.written.tolist()
        and left.n_tokens.tolist() == right.n_tokens.tolist()
        and left.place.tolist() == right.place.tolist()
        and left.sample.tolist() == right.sample.tolist()
        and left.text == right.text
    )


def sampled(pair: ModelPair, task: Task | None = None, **options) -> Rollouts:
    """Texts of the base."""
    options = folded(options, **DRAWN, n_samples=3, max_new_tokens=20, keep=("seed",))
    return rollouts(pair.side("base"), task or task_of(), **options)
