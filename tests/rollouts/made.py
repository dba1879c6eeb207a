"""What the tests of rollouts share: a small task and how it is sampled."""

import torch

from elicit.edits import Steer, generated, prompt
from elicit.pair import ModelPair
from elicit.rollouts import Rollouts, rollouts
from elicit.sites import resid_post
from elicit.tasks import Problem, Task
from tests.checkpoints import WORDS

STOPS = (2, 5, 9)
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
    options = {"stop_ids": STOPS, "n_samples": 3, "max_new_tokens": 20, **options}
    return rollouts(pair.base, pair.alignment, task or task_of(), **options)
