"""Resume truncated texts: the same tokens as if they had been sampled in one go."""

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
    """Continue truncated texts: the same tokens as if sampled in one go.

    Prompt and text are prefilled, and each row's random stream continues where it stopped. Texts
    that have ended are unchanged. `begun.select` selects rows.

    Args:
        side: The model that wrote them, under the same edits; another model continues its texts.
        task: Task of the texts.
        begun: The truncated texts.
        max_new_tokens: Maximum total length, existing tokens included.
        edits_at: Edits by strength, where the texts have strengths; see `dose_rollouts`.
        extractor: Extracts the answer from a text.
        batch_size: Rows per batch.
        execution: Checkpoint and progress.

    Raises:
        RolloutError: The task differs, the length does not exceed the current one, or strengths
            come without edits or edits without strengths.
    """
    if task.digest != begun.task_digest:
        raise RolloutError(
            f"the texts are of a task {begun.task!r} with digest {begun.task_digest[:12]} and the "
            f"task given is {task.name!r} with {task.digest[:12]}, so texts and right answers "
            "would be mixed up. Pass the task that was sampled."
        )
    if begun.sampling.rule:
        raise RolloutError(
            f"the texts were written by the rule {begun.sampling.rule}, and one model would go on "
            "without it. Sample them again with rollouts(rule=) and the larger max_new_tokens: "
            "they begin alike."
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
        side=side, sampling=sampling, batch_size=batch_size, edits_at=edits_at, execution=execution
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
    """Sample new tokens after every prefix, such as a truncated text.

    They depend only on the prefix, the sample number and the seed.

    Args:
        side: The model.
        prefixes: Token ids of each prefix, at least one.
        generation: Samples per prefix, their length and temperature.
        seed: Seed of all random streams.
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
