"""Steering with a held-out test: the strength is chosen on half of the problems."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from elicit.elicitation.arms import Arm
from elicit.elicitation.choice import Choice, choose
from elicit.elicitation.dose import dose_curve
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.goal import Goal
from elicit.pair import Side
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Split


@dataclass(frozen=True, eq=False, kw_only=True)
class Steered:
    """A dose curve for selection, and every arm at the chosen strength on held-out problems."""

    curve: DoseCurve
    """All strengths on the problems to choose on: these numbers support no claim."""
    choice: Choice
    """The strength, and why."""
    test: DoseCurve
    """The one strength on the held-out problems; beside it every control and baseline at its own
    best strength, chosen in the same way."""


def steer(
    side: Side,
    split: Split,
    arms: Sequence[Arm],
    *,
    strengths: Sequence[float],
    goal: Goal = Goal(),
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Steered:
    """Choose a strength on some problems, and evaluate it on held-out ones.

    Args:
        side: The steered model.
        split: Problems that the strength, and whatever is steered with, is chosen on; and others.
        arms: The arm under test, then its controls: `direction_arms` or `feature_arms`.
        strengths: Distinct strengths.
        goal: Target model and metrics. `need_gap` holds on both parts of the problems.
        generation: Generation options.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Checkpoint and progress.

    Raises:
        ElicitationError: 0 is the only strength, or see `dose_curve`.
        NoGapError: Model and target do not differ in accuracy, and `goal.need_gap`.
    """
    if not any(strengths):
        raise ElicitationError(
            f"strengths is {list(strengths)}, so nothing would be steered. Pass some other than 0."
        )
    # Wordings of the held-out problems are refused before the first curve, not after it.
    goal.reworded(split.test)
    how = {"goal": goal, "generation": generation, "inference": inference, "execution": execution}
    curve = dose_curve(side, split.choose, arms, strengths=strengths, **how)
    choice = choose(curve, metric=goal.metric)
    each = [arms[0], *(_dosed(curve, place, choice, arms) for place in range(1, len(arms)))]
    test = dose_curve(side, split.test, each, strengths=[choice.strength], **how)
    return Steered(
        curve=curve,
        choice=choice,
        test=replace(
            test, n_choose=len(split.choose), chosen_by=choice.metric, raised=choice.raised
        ),
    )


def _dosed(curve: DoseCurve, place: int, choice: Choice, arms: Sequence[Arm]) -> Arm:
    """A control at the strength that is best for it; one that does nothing, at the tested one."""
    own = choose(curve, metric=choice.metric, arm=place)
    dose = own.strength if own.moved and own.coherent else choice.strength
    return replace(arms[place], dose=dose)
