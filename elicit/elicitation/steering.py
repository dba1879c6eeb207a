"""Steering told honestly: the strength is chosen on some problems and judged on others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from elicit.elicitation.arms import Arm
from elicit.elicitation.asking import worded
from elicit.elicitation.choosing import MAX_LOSS, Choice, choose
from elicit.elicitation.dose import dose_curve
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.dose_values import Behaviour
from elicit.elicitation.errors import ElicitationError
from elicit.pair import Side
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Steered:
    """A dose curve to choose by, and every arm at the chosen strength on other problems."""

    curve: DoseCurve
    """All strengths on the problems to choose on: nothing is to be claimed from it."""
    choice: Choice
    """The strength, and why."""
    test: DoseCurve
    """The one strength on the problems to test on, every control beside it."""


def steer(
    side: Side,
    choosing: Task,
    test: Task,
    arms: Sequence[Arm],
    *,
    strengths: Sequence[float],
    target: Side | None = None,
    need_gap: bool = True,
    behaviours: Mapping[str, Behaviour] | None = None,
    wordings: Mapping[str, Task] | None = None,
    metric: str | None = None,
    max_loss: float = MAX_LOSS,
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Steered:
    """Choose a strength on some problems and tell of others what it does, controls beside it.

    Args:
        side: The model that is steered.
        choosing: Problems that the strength, and whatever is steered with, is chosen on.
        test: Others.
        arms: What is done, then its controls: `direction_arms` or `feature_arms`.
        strengths: How strongly, each once.
        target: Model whose rates are the goal; None asks for no share of a gap.
        need_gap: Whether to refuse a target whose accuracy cannot be told from the model's, on
            either part of the problems.
        behaviours: What else is looked for in each text, by name.
        wordings: The problems of both parts in other words, by name.
        metric: Whose rate the strength is chosen by; see `choose`.
        max_loss: How much less probable steered texts may be; see `choose`.
        generation: How texts are generated.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        ElicitationError: A problem is in both parts, the metric is not measured, 0 is the only
            strength, or see `dose_curve`.
        NoGapError: Model and target do not differ in accuracy, and `need_gap`.
    """
    both = sorted({problem.id for problem in choosing} & {problem.id for problem in test})
    if both:
        raise ElicitationError(
            f"problem {both[0]!r} and {len(both) - 1} more are in both parts, so the strength "
            "would be judged on what it was chosen by. Pass parts without common problems; "
            "Task.split makes them."
        )
    known = ("accuracy", *(behaviours or {}))
    if metric is not None and metric not in known:
        raise ElicitationError(
            f"metric is {metric!r}, and what is measured is {', '.join(known)}, so no strength "
            "could be chosen by it. Pass one of these."
        )
    if not any(strengths):
        raise ElicitationError(
            f"strengths is {list(strengths)}, so nothing would be steered. Pass some other than 0."
        )
    # Wordings of the test problems are refused before the first curve, not after it.
    worded(wordings or {}, test)

    def curve(task: Task, doses: Sequence[float]) -> DoseCurve:
        return dose_curve(
            side,
            task,
            arms,
            strengths=doses,
            target=target,
            need_gap=need_gap,
            behaviours=behaviours,
            wordings=wordings,
            generation=generation,
            inference=inference,
            execution=execution,
        )

    every = curve(choosing, strengths)
    choice = choose(every, metric=metric, max_loss=max_loss)
    told = replace(
        curve(test, [choice.strength]),
        n_choose=len(choosing),
        chosen_by=choice.metric,
        raised=choice.raised,
    )
    return Steered(curve=every, choice=choice, test=told)
