"""Greedy texts of both models on the same problems."""

from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor

from elicit.grafting.score import Score
from elicit.pair import ModelPair
from elicit.results import Result
from elicit.rollouts import answer_task
from elicit.tasks import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples(Result):
    """Greedy texts of base and post on some problems."""

    task: str
    """Name of the task."""
    sample: tuple[str, ...]
    """Id of each problem."""
    prompt: tuple[str, ...]
    """Prompts."""
    answer: tuple[str, ...]
    """Right answers."""
    base_text: tuple[str, ...]
    """Texts of base. Untrusted: always escape."""
    post_text: tuple[str, ...]
    """Texts of post. Untrusted: always escape."""
    base_correct: Bool[Tensor, " sample"]
    """Whether base's answer is right."""
    post_correct: Bool[Tensor, " sample"]
    """Whether post's answer is right."""


def sample_texts(pair: ModelPair, score: Score, *, n: int = 8, seed: int = 0) -> Samples:
    """Generate with both models on a few problems that cover every difficulty.

    Args:
        pair: The two models.
        score: A task and its generation settings.
        n: Number of problems, at most those of the task.
        seed: Seed of the selection.
    """
    task: Task = score.task.subset(min(n, len(score.task)), seed)
    texts = [
        answer_task(pair.side(name), task, generation=score.generation) for name in ("base", "post")
    ]
    return Samples(
        provenance=pair.provenance(seed, {"score": score.to_json(), "n": n}),
        task=task.name,
        sample=tuple(problem.id for problem in task),
        prompt=tuple(problem.prompt for problem in task),
        answer=tuple(problem.answer for problem in task),
        base_text=texts[0].completion,
        post_text=texts[1].completion,
        base_correct=texts[0].correct,
        post_correct=texts[1].correct,
    )
