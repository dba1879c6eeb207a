"""Which of several arms: the one that does most on problems to choose on."""

from collections.abc import Sequence

from elicit.elicitation._unsteered import unsteered
from elicit.elicitation.arms import Arm
from elicit.elicitation.checks import check_request
from elicit.elicitation.choice import default_metric, to_raise
from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.goal import Goal
from elicit.elicitation.sweep import sweep_arms
from elicit.pair import Side
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Task


def choose_arms(
    side: Side,
    task: Task,
    candidates: Sequence[Sequence[Arm]],
    *,
    strengths: Sequence[float],
    goal: Goal = Goal(),
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> int:
    """Index of the candidate that does most at some strength, such as the site to steer at.

    Of candidates that do nearly as much, the one that does it at the weakest push; only coherent
    texts count, if there are any. Only the arm under test is run, not the controls.

    Args:
        side: The model that is steered.
        task: Problems to choose on.
        candidates: Arms of each, the one under test first.
        strengths: How strongly, each once.
        goal: The target, and what is measured.
        generation: How texts are generated.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Checkpoint and progress.

    Raises:
        ElicitationError: There is no candidate, or see `dose_curve`.
    """
    if not candidates:
        raise ElicitationError("there is no candidate, so none can be chosen. Pass one or more.")
    for arms in candidates:
        check_request(side, task, arms, strengths, generation)
    if len(candidates) == 1:
        return 0
    how = {"generation": generation, "seed": inference.seed, "execution": execution}
    alone = unsteered(side, task, goal=goal, **how)
    swept = sweep_arms(alone, [arms[0] for arms in candidates], strengths=strengths, **how)
    gap = alone.gap(inference)
    row = goal.metrics.index(goal.metric or default_metric(goal.metrics, bool(gap.clear[0])))
    raised = to_raise(float(alone.base[:, row].mean()), float(gap.value[row]), bool(gap.clear[row]))
    return swept.best(row, raised=raised)[0]
