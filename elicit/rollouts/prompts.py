"""Encode the prompts of a task and check them against context window and vocabulary."""

from elicit.pair import Side
from elicit.tasks import Fault, Task, TaskError


def check_prompts(side: Side, task: Task, *, templated: bool) -> list[list[int]]:
    """Token ids of every prompt.

    Args:
        side: The model.
        task: The problems.
        templated: Whether prompts go through the chat template.

    Raises:
        TaskError: A prompt fills the context window, or contains text that the tokenizer does
            not know; every such prompt is named.
    """
    alignment, limit = side.alignment, side.n_positions
    texts = [alignment.spelled(problem.turns, templated=templated) for problem in task]
    prompts = [alignment.read(text, templated=templated) for text in texts]
    strange = [
        Fault(where=problem.id, what=f"its {what}", fix="Write it with words of the tokenizer")
        for problem, text in zip(task, texts, strict=True)
        for what, seen in (("prompt", text), ("answer", problem.answer))
        if alignment.unknown(seen, templated=templated)
    ]
    if strange:
        raise TaskError(
            f"task {task.name!r} has words that the tokenizer does not know, so a model could "
            "neither read nor write them:",
            strange,
        )
    full = [i for i, ids in enumerate(prompts) if limit is not None and len(ids) >= limit]
    if full:
        raise TaskError(
            f"task {task.name!r} has prompts that fill all {limit} positions of the model, so no "
            f"answer fits after them:",
            [
                Fault(
                    where=task.problems[i].id,
                    what=f"{len(prompts[i])} tokens",
                    fix="Shorten the prompt",
                )
                for i in full
            ],
        )
    return prompts
