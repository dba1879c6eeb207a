"""Sample texts to the problems of a task."""

from collections.abc import Mapping, Sequence

from elicit.pair import Side
from elicit.rollouts._ruled import rule_writer
from elicit.rollouts.generation import Generation
from elicit.rollouts.rows import begin
from elicit.rollouts.rules import LogitRule
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
    rule: LogitRule | None = None,
    execution: Execution = Execution(),
) -> Rollouts:
    """Sample a model's texts for every problem of a task; grafts and edits in force apply.

    A row's tokens depend on the seed, its problem's id and its sample number, never on other rows
    or on the batch, beyond rounding of the logits. Edits that differ from row to row are refused;
    see `dose_rollouts`.

    Args:
        side: The model.
        task: Problems with their reference answers.
        generation: Generation options.
        seed: Seed of all random streams.
        prefixes: Forced first token ids of each problem's texts, by problem id. They count as
            generated: they are graded, use up length and random numbers, and edits of generated
            tokens apply to them.
        rule: Draws tokens from logits that further models make together with this one. Each reads
            its own prompt and keeps its own cache; a text ends where any of them would end it.
        execution: Checkpoint and progress.

    Raises:
        TaskError: A prompt fills the context window or contains unknown tokens, or a prefix
            leaves nothing to generate.
        PairError: No end-of-text token is known.
        RolloutError: A stop id is not in the vocabulary, or an edit on the model differs from row
            to row; or the models of the rule have other vocabularies, or one of them is under
            edits while it only reads.
    """
    if rule is not None:
        writer = rule_writer(side, rule, generation=generation, seed=seed, execution=execution)
    else:
        writer = Writer(
            side=side,
            sampling=generation.sampling(side, seed),
            batch_size=generation.batch_size,
            edits_at=None,
            execution=execution,
        )
    return begin(writer, task, strengths=(None,), generation=generation, prefixes=prefixes or {})
