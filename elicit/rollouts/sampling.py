"""Sample texts to the problems of a task."""

from collections.abc import Mapping, Sequence

from elicit.pair import Side
from elicit.rollouts.generation import Generation
from elicit.rollouts.rows import begin
from elicit.rollouts.values import Rollouts
from elicit.rollouts.writing import Writer
from elicit.runs import Execution
from elicit.tasks import Task


def rollouts(
    side: Side,
    task: Task,
    *,
    generation: Generation = Generation(),
    seed: int = 0,
    prefixes: Mapping[str, Sequence[int]] | None = None,
    execution: Execution = Execution(),
) -> Rollouts:
    """Texts of a model to every problem of a task, alone, grafted or inside a block of edits.

    A row's tokens depend on the seed, its problem's id and its sample number, never on other rows
    or on the batch, beyond rounding of the logits. Edits that differ from row to row are refused;
    see `dose_rollouts`.

    Args:
        side: The model.
        task: Problems with their right answers.
        generation: How texts are generated.
        seed: Of all random streams.
        prefixes: Token ids with which the texts of a problem, by its id, must begin. They count as
            text: they are graded, use up their part of the length and of the random stream, and
            edits of generated tokens hold for them.
        execution: Checkpoint and progress.

    Raises:
        TaskError: A prompt leaves no room for a text or is not made of known words, or a prefix
            leaves nothing to write.
        PairError: No token that ends a text is known.
        RolloutError: A stop id is not in the vocabulary, or an edit on the model differs from row
            to row.
    """
    writer = Writer(
        side=side,
        sampling=generation.sampling(side, seed),
        batch_size=generation.batch_size,
        edits_at=None,
        execution=execution,
    )
    return begin(writer, task, strengths=(None,), generation=generation, prefixes=prefixes or {})
