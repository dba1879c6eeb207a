"""What the tests of rollouts share: a small task and how it is sampled."""

from elicit.tasks import Problem, Task
from tests.checkpoints import WORDS

STOPS = (2, 5, 9)


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
