"""Move every part both ways, and conclude."""

from collections.abc import Sequence

from elicit.grafting.attribution import Attribution
from elicit.grafting.conclusion import conclude
from elicit.grafting.measure import GraftError, Measure
from elicit.grafting.values import value_table
from elicit.pair import ModelPair
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.weights import is_changed, parts_of, slots_of

KINDS = ("layer", "attn", "mlp", "outside")


def revert(
    pair: ModelPair,
    *,
    damage: Measure | None = None,
    skill: Measure | None = None,
    kinds: Sequence[str] = KINDS,
    control_draws: int = 2,
    margin: float = 0.05,
    share_margin: float = 0.05,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Attribution:
    """Move every part both ways and say which layers changed, are corrupted, or carry the skill.

    A part is corrupted if, on a task where post lost, reverting it heals and grafting it harms,
    both joint intervals clear of 0 and both effects at least `share_margin` of the gap; it carries
    the skill if the mirror holds on a task where post gained. Which task plays which part is
    measured: the arguments only say where one looks.

    Args:
        pair: The two models.
        damage: Where post may have lost (knowledge).
        skill: Where post may have gained (problems).
        kinds: Sizes of part to move, of `layer`, `attn`, `mlp`, `norms`, `matrix`, `outside`.
        control_draws: Shuffled differences of the same norm averaged per layer and direction;
        generated tasks
            use one at most, because each is a whole generation; 0 runs none.
        margin: Smallest gap that counts, in the task's unit.
        share_margin: Smallest effect that names a part, as a share of the gap.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        GraftError: No task, or two of one name.
    """
    measures = [measure for measure in (damage, skill) if measure is not None]
    if not measures:
        raise GraftError(
            "no task was given, so nothing could be lost or gained. Pass damage=, skill=, or both."
        )
    if len({measure.task.name for measure in measures}) < len(measures):
        raise GraftError(
            f"both tasks are called {measures[0].task.name!r}, so their results could not be told "
            f"apart. Rename one."
        )
    cells, progress = execution.checkpoint, execution.progress
    parts = [part for kind in dict.fromkeys(kinds) for part in parts_of(pair, kind)]
    n_layers_parts = sum(part.kind == "layer" for part in parts)
    progress.start(
        len(measures) * 2 * (1 + len(parts) + control_draws * n_layers_parts), "scoring both models"
    )
    tables = [
        value_table(
            pair,
            measure,
            parts,
            control_draws,
            inference.seed,
            Execution(max_tokens=execution.max_tokens, checkpoint=cells, progress=progress),
        )
        for measure in measures
    ]
    progress.stop()
    slots = slots_of(pair)
    return conclude(
        pair,
        measures,
        parts,
        [is_changed(slots, part) for part in parts],
        tables,
        inference=inference,
        margin=margin,
        share_margin=share_margin,
    )
