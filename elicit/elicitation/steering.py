"""Steering told honestly: the strength is chosen on some problems and judged on others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import nn

from elicit.elicitation.arms import Arm
from elicit.elicitation.asking import worded
from elicit.elicitation.choosing import MAX_LOSS, Choice, choose
from elicit.elicitation.dose import dose_curve
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.dose_values import Behaviour
from elicit.elicitation.errors import ElicitationError
from elicit.pair import Alignment
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Extractor, Task, default_extractor


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
    model: nn.Module,
    alignment: Alignment,
    choosing: Task,
    test: Task,
    arms: Sequence[Arm],
    *,
    strengths: Sequence[float],
    stop_ids: Sequence[int],
    target: nn.Module | None = None,
    need_gap: bool = True,
    behaviours: Mapping[str, Behaviour] | None = None,
    wordings: Mapping[str, Task] | None = None,
    metric: str | None = None,
    max_loss: float = MAX_LOSS,
    n_samples: int = 1,
    temperature: float = 0.0,
    max_new_tokens: int = 256,
    batch_size: int = 64,
    extractor: Extractor = default_extractor,
    templated: bool = False,
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> Steered:
    """Choose a strength on some problems and tell of others what it does, controls beside it.

    Args:
        model: A bridge in raw mode: the one that is steered.
        alignment: How prompts become ids.
        choosing: Problems that the strength, and whatever is steered with, is chosen on.
        test: Others.
        arms: What is done, then its controls: `direction_arms` or `feature_arms`.
        strengths: How strongly, each once.
        stop_ids: Tokens that end a text.
        target: Model whose rates are the goal; None asks for no share of a gap.
        need_gap: Whether to refuse a target whose accuracy cannot be told from the model's, on
            either part of the problems.
        behaviours: What else is looked for in each text, by name.
        wordings: The problems of both parts in other words, by name.
        metric: Whose rate the strength is chosen by; see `choose`.
        max_loss: How much less probable steered texts may be; see `choose`.
        n_samples: Texts a problem and strength.
        temperature: 0 is greedy.
        max_new_tokens: Longest text.
        batch_size: Rows a batch.
        extractor: Finds the answer in a text.
        templated: Whether prompts go through the chat template.
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
            model,
            alignment,
            task,
            arms,
            strengths=doses,
            stop_ids=stop_ids,
            target=target,
            need_gap=need_gap,
            behaviours=behaviours,
            wordings=wordings,
            n_samples=n_samples,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            extractor=extractor,
            templated=templated,
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
