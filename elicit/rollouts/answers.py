"""One generated answer per problem, graded, for questions that need no more."""

from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor

from elicit.pair import Side
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.sampling import rollouts
from elicit.runs import Execution
from elicit.tasks import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """A model's answer to every problem of a task, and whether it is correct."""

    completion: tuple[str, ...]
    """Text after the prompt, special tokens left out."""
    extracted: tuple[str | None, ...]
    """Answer found in it; None if there is none."""
    correct: Bool[Tensor, " problem"]
    """Whether it is the right one."""
    truncated: Bool[Tensor, " problem"]
    """Whether the text was cut before the model ended it."""
    n_tokens: Int[Tensor, " problem"]
    """Tokens written, the stop token included."""


def answer_task(
    side: Side,
    task: Task,
    *,
    generation: Generation = Generation(),
    seed: int = 0,
    execution: Execution = Execution(),
) -> Answers:
    """A model's answers to a task, one for each problem.

    Args:
        side: The model, alone or under edits or grafts.
        task: Problems with their reference answers.
        generation: Generation options; one sample per problem.
        seed: Seeds each problem's random stream together with its id.
        execution: Checkpoint and progress.

    Raises:
        TaskError: A prompt fills the context window.
        PairError: No end-of-text token is known.
        RolloutError: `generation` has several samples per problem, or see `rollouts`.
    """
    if generation.n_samples != 1:
        raise RolloutError(
            f"n_samples is {generation.n_samples}, and an answer is one text a problem. Pass "
            "n_samples=1, or use rollouts."
        )
    written = rollouts(side, task, generation=generation, seed=seed, execution=execution)
    return Answers(
        completion=written.text,
        extracted=written.extracted,
        correct=written.correct,
        truncated=written.truncated,
        n_tokens=written.n_tokens,
    )
