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
    encode = alignment.templated if templated else alignment.plain
    prompts = [encode(problem.prompt) for problem in task]
    unknown = alignment.tokenizer.unk_token_id
    strange = [
        Fault(where=problem.id, what=f"its {what}", fix="Write it with words of the tokenizer")
        for problem, ids in zip(task, prompts, strict=True)
        for what, seen in (("prompt", ids), ("answer", alignment.plain(problem.answer)))
        if unknown is not None and unknown in seen
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
