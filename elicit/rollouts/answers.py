"""One answer a problem: right or wrong, for questions that need no more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor, nn

from elicit.pair import Alignment
from elicit.rollouts.sampling import rollouts
from elicit.runs import Execution
from elicit.tasks import Extractor, Task, default_extractor


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers:
    """What a model wrote to every problem of a task, and whether it is right."""

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
    model: nn.Module,
    alignment: Alignment,
    task: Task,
    *,
    stop_ids: Sequence[int],
    extractor: Extractor = default_extractor,
    max_new_tokens: int = 256,
    batch_size: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
    templated: bool = False,
    on_batch: Callable[[int], None] | None = None,
) -> Answers:
    """A model's own answers to a task, in batches of prompts padded on the left.

    Args:
        model: A bridge in raw mode, alone or under edits or grafts.
        alignment: How prompts become ids.
        task: Problems with their right answers.
        stop_ids: Tokens that end a text.
        extractor: Finds the answer in a completion.
        max_new_tokens: Longest completion; a prompt near the model's last position gets what is
            left.
        batch_size: Prompts a batch; answers do not depend on it beyond rounding.
        temperature: 0 is greedy.
        seed: With the id of a problem, seeds that problem's own random stream.
        templated: Whether prompts go through the chat template.
        on_batch: Called with the number of problems done after each batch.

    Raises:
        TaskError: A prompt leaves no room for an answer.
        RolloutError: An argument is out of range, or an edit on the model is told row by row.
    """
    found = rollouts(
        model,
        alignment,
        task,
        stop_ids=stop_ids,
        extractor=extractor,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        temperature=temperature,
        seed=seed,
        templated=templated,
        execution=Execution() if on_batch is None else Execution(progress=_Told(on_batch)),
    )
    return Answers(
        completion=found.text,
        extracted=found.extracted,
        correct=found.correct,
        truncated=found.truncated,
        n_tokens=found.n_tokens,
    )


class _Told:
    """Progress told to a function, a number of rows at a time."""

    def __init__(self, on_batch: Callable[[int], None]) -> None:
        """Tell `on_batch`."""
        self._on_batch = on_batch

    def start(self, total: int, what: str) -> None:
        """Say nothing yet."""

    def advance(self, n: int = 1, what: str | None = None) -> None:
        """Tell how many rows are done since the last time."""
        if n:
            self._on_batch(n)

    def stop(self) -> None:
        """Say nothing more."""
