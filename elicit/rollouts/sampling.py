"""Sample texts to the problems of a task, in one go or piece by piece."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import nn

from elicit.pair import Alignment
from elicit.rollouts.beginning import begin
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.grading import graded
from elicit.rollouts.values import Rollouts, Sampling, check_rows
from elicit.rollouts.writing import Dose, Row, Writer
from elicit.runs import Execution
from elicit.tasks import Extractor, Task, default_extractor


def rollouts(
    model: nn.Module,
    alignment: Alignment,
    task: Task,
    *,
    stop_ids: Sequence[int],
    n_samples: int = 1,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new_tokens: int = 256,
    batch_size: int = 64,
    seed: int = 0,
    extractor: Extractor = default_extractor,
    templated: bool = False,
    prefixes: Mapping[str, Sequence[int]] | None = None,
    execution: Execution = Execution(),
) -> Rollouts:
    """Texts of a model to every problem of a task, alone, grafted or inside a block of edits.

    A row's tokens depend on the seed, its problem's id and its sample number, never on other rows
    or on the batch, beyond rounding of the logits. Edits that are told row by row are refused; see
    `dose_rollouts`.

    Args:
        model: A bridge in raw mode.
        alignment: How prompts become ids.
        task: Problems with their right answers.
        stop_ids: Tokens that end a text; none lets every text run to its longest.
        n_samples: Texts a problem.
        temperature: 0 is greedy.
        top_p: Mass of the most probable tokens among which one is drawn, in (0, 1].
        max_new_tokens: Longest text; near the model's last position there is less.
        batch_size: Rows a batch.
        seed: Of all random streams.
        extractor: Finds the answer in a text.
        templated: Whether prompts go through the chat template.
        prefixes: Token ids with which the texts of a problem, by its id, must begin. They count as
            text: they are graded, use up their part of the length and of the random stream, and
            edits of generated tokens hold for them.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        TaskError: A prompt leaves no room for a text, or is not made of known words.
        RolloutError: An argument is out of range, greedy texts would all be equal, a beginning
            leaves nothing to write, or an edit on the model is told row by row.
    """
    sampling = Sampling(
        stop_ids=tuple(stop_ids),
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        templated=templated,
    )
    writer = Writer(
        model=model,
        alignment=alignment,
        sampling=sampling,
        batch_size=batch_size,
        dose=None,
        cells=execution.checkpoint,
        progress=execution.progress,
    )
    return begin(
        writer,
        task,
        strengths=(None,),
        n_samples=n_samples,
        prefixes=prefixes or {},
        extractor=extractor,
    )


def extend(
    model: nn.Module,
    alignment: Alignment,
    task: Task,
    begun: Rollouts,
    rows: Sequence[int],
    *,
    max_new_tokens: int,
    edit: Dose | None = None,
    batch_size: int = 64,
    extractor: Extractor = default_extractor,
    execution: Execution = Execution(),
) -> Rollouts:
    """Some texts gone on with: the same tokens as if they had been sampled in one go.

    Prompt and text are read again, and each row's random stream goes on where it stopped. Texts
    that have ended stay as they are.

    Args:
        model: The model that began, under the same edits; another one goes on from its texts.
        alignment: How prompts became ids.
        task: The task of the texts.
        begun: Texts so far.
        rows: Numbers of those to go on with.
        max_new_tokens: Longest text in all, what there is already included.
        edit: Edits from strengths, where the texts have them; see `dose_rollouts`.
        batch_size: Rows a batch.
        extractor: Finds the answer in a text.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Returns:
        The chosen rows alone, in the order given.

    Raises:
        RolloutError: The task is another one, a row is not there, the length is not above the one
            so far, or strengths come without edits or edits without strengths.
    """
    check_rows(rows, len(begun))
    if task.digest != begun.task_digest:
        raise RolloutError(
            f"the texts are of a task {begun.task!r} with digest {begun.task_digest[:12]} and the "
            f"task given is {task.name!r} with {task.digest[:12]}, so texts and right answers "
            "would be mixed up. Pass the task that was sampled."
        )
    if max_new_tokens <= begun.sampling.max_new_tokens:
        raise RolloutError(
            f"max_new_tokens is {max_new_tokens} and the texts had {begun.sampling.max_new_tokens} "
            "already, so none would go on. Pass the longest text in all, not what is added."
        )
    if (edit is None) != (begun.strength is None):
        raise RolloutError(
            "the texts have strengths and no edit is given, so they would go on without it. Pass "
            "edit= as for dose_rollouts."
            if edit is None
            else "an edit is given and the texts have no strengths, so there is nothing to build "
            "it from. Leave edit out, and extend inside a block of edits."
        )
    chosen = [
        Row(
            problem=begun.problem[int(begun.place[row])],
            place=int(begun.place[row]),
            sample=int(begun.sample[row]),
            prompt=tuple(begun.prompt_ids(row)),
            text=tuple(begun.ids(row)),
            strength=None if begun.strength is None else begun.strength[row].item(),
        )
        for row in rows
    ]
    sampling = replace(begun.sampling, max_new_tokens=max_new_tokens)
    writer = Writer(
        model=model,
        alignment=alignment,
        sampling=sampling,
        batch_size=batch_size,
        dose=edit,
        cells=execution.checkpoint,
        progress=execution.progress,
    )
    return graded(
        alignment,
        task,
        chosen,
        writer.write(chosen),
        prompts=[part.tolist() for part in begun.prompted.split(begun.n_prompt.tolist())],
        n_forced=begun.n_forced.tolist(),
        sampling=sampling,
        extractor=extractor,
    )
