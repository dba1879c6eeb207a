"""What a model writes when it is steered, beside what it writes alone: to be read."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from elicit.elicitation.arms import Arm
from elicit.elicitation.asking import TARGET, UNSTEERED, Asking
from elicit.pair import Alignment
from elicit.results import Result
from elicit.runs import Execution
from elicit.tasks import Extractor, Task, default_extractor


@dataclass(frozen=True, eq=False, kw_only=True)
class SteeredTexts(Result):
    """Texts to the same problems, unsteered, under each arm, and the target's."""

    strength: float
    """How strongly every arm pushes."""
    writer: tuple[str, ...]
    """`unsteered`, each arm by its name, then the `target` if there is one."""
    problem: tuple[str, ...]
    """Id of each problem."""
    prompt: tuple[str, ...]
    """What was asked."""
    answer: tuple[str, ...]
    """The right answer."""
    text: tuple[tuple[str, ...], ...]
    """What each writer wrote to each problem. Text of a model: never trusted."""
    correct: Bool[Tensor, "writer problem"]
    """Whether it gives the right answer."""


def steered_texts(
    model: nn.Module,
    alignment: Alignment,
    task: Task,
    arms: Sequence[Arm],
    *,
    strength: float,
    stop_ids: Sequence[int],
    target: nn.Module | None = None,
    n: int = 6,
    max_new_tokens: int = 256,
    batch_size: int = 64,
    extractor: Extractor = default_extractor,
    templated: bool = False,
    seed: int = 0,
    execution: Execution = Execution(),
) -> SteeredTexts:
    """Greedy texts to the first problems of a task, under every arm and without.

    All problems are run, so that with the cells of a dose curve no text is written twice.

    Args:
        model: A bridge in raw mode: the one that is steered.
        alignment: How prompts become ids.
        task: Problems.
        arms: What is done to it.
        strength: How strongly.
        stop_ids: Tokens that end a text.
        target: Model whose texts stand beside it.
        n: Problems to show.
        max_new_tokens: Longest text.
        batch_size: Rows a batch.
        extractor: Finds the answer in a text.
        templated: Whether prompts go through the chat template.
        seed: Of texts.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    ask = Asking(
        alignment=alignment,
        stop_ids=tuple(stop_ids),
        n_samples=1,
        temperature=0.0,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        extractor=extractor,
        templated=templated,
        cells=execution.checkpoint,
        progress=execution.progress,
    )
    found = {UNSTEERED: ask.plain(model, task)}
    found |= {arm.name: ask.steered(model, task, arm, [strength]) for arm in arms}
    if target is not None:
        found[TARGET] = ask.plain(target, task)
    shown = task.problems[:n]
    return SteeredTexts(
        strength=float(strength),
        writer=tuple(found),
        problem=tuple(problem.id for problem in shown),
        prompt=tuple(problem.prompt for problem in shown),
        answer=tuple(problem.answer for problem in shown),
        text=tuple(one.text[:n] for one in found.values()),
        correct=torch.stack([one.correct[:n] for one in found.values()]),
    )
