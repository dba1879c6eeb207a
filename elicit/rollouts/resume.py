"""Resume texts from a cut: the same tokens as if they had been sampled in one go."""

from collections.abc import Sequence
from dataclasses import replace

from elicit.pair import Side
from elicit.results import digest_json
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.generation import Generation
from elicit.rollouts.grading import graded
from elicit.rollouts.values import Rollouts
from elicit.rollouts.writing import EditsAt, Row, Writer
from elicit.runs import Execution
from elicit.tasks import Extractor, Task, default_extractor


def resume(
    side: Side,
    task: Task,
    begun: Rollouts,
    *,
    max_new_tokens: int,
    edits_at: EditsAt | None = None,
    extractor: Extractor = default_extractor,
    batch_size: int = 64,
    execution: Execution = Execution(),
) -> Rollouts:
    """Longer texts from texts that were cut: the same tokens as if sampled in one go.

    Prompt and text are read again, and each row's random stream goes on where it stopped. Texts
    that have ended stay as they are. `begun.select` takes some rows alone.

    Args:
        side: The model that began, under the same edits; another one goes on from its texts.
        task: The task of the texts.
        begun: Texts so far.
        max_new_tokens: Longest text in all, what there is already included.
        edits_at: Edits from strengths, where the texts have them; see `dose_rollouts`.
        extractor: Finds the answer in a text.
        batch_size: Rows a batch.
        execution: Checkpoint and progress.

    Raises:
        RolloutError: The task is another one, the length is not above the one so far, or strengths
            come without edits or edits without strengths.
    """
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
    if (edits_at is None) != (begun.strength is None):
        raise RolloutError(
            "the texts have strengths and no edits are given, so they would go on without them. "
            "Pass edits_at= as for dose_rollouts."
            if edits_at is None
            else "edits are given and the texts have no strengths, so there is nothing to build "
            "them from. Leave edits_at out, and resume inside a block of edits."
        )
    rows = [
        Row(
            problem=begun.problem[int(begun.place[row])],
            place=int(begun.place[row]),
            sample=int(begun.sample[row]),
            prompt=tuple(begun.prompt_ids(row)),
            text=tuple(begun.ids(row)),
            strength=None if begun.strength is None else begun.strength[row].item(),
        )
        for row in range(len(begun))
    ]
    sampling = replace(begun.sampling, max_new_tokens=max_new_tokens)
    writer = Writer(
        side=side,
        sampling=sampling,
        batch_size=batch_size,
        edits_at=edits_at,
        execution=execution,
    )
    return graded(
        side.alignment,
        task,
        rows,
        writer.write(rows),
        prompts=[part.tolist() for part in begun.prompted.split(begun.n_prompt.tolist())],
        n_forced=begun.n_forced.tolist(),
        sampling=sampling,
        extractor=extractor,
    )


def resample(
    side: Side,
    prefixes: Sequence[Sequence[int]],
    *,
    generation: Generation,
    seed: int = 0,
    execution: Execution = Execution(),
) -> list[list[tuple[int, ...]]]:
    """New tokens of every sample after every prefix, such as a text that was cut.

    They depend on the prefix, the number of the sample and the seed alone.

    Args:
        side: The model that continues.
        prefixes: Token ids of each, at least one.
        generation: Samples of each prefix, their length and temperature.
        seed: Of all random streams.
        execution: Checkpoint and progress.
    """
    rows = [
        Row(
            problem=digest_json(list(map(int, prefix))),
            place=number,
            sample=sample,
            prompt=tuple(map(int, prefix)),
            text=(),
        )
        for number, prefix in enumerate(prefixes)
        for sample in range(generation.n_samples)
    ]
    writer = Writer(
        side=side,
        sampling=generation.sampling(side, seed),
        batch_size=generation.batch_size,
        edits_at=None,
        execution=execution,
    )
    texts, n = writer.write(rows), generation.n_samples
    return [list(texts[i * n : (i + 1) * n]) for i in range(len(prefixes))]
