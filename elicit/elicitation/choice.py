"""Which strength, and which site: chosen on some problems, reported on held-out ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.elicitation.arms import Arm
from elicit.elicitation.checks import check_request
from elicit.elicitation.coherence import NEAR
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.estimates import gaps_of
from elicit.elicitation.goal import Goal
from elicit.elicitation.outcomes import outcomes, references_of, scores
from elicit.pair import Side
from elicit.rollouts import Generation, dose_rollouts, rollouts
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Task

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The strength to test at, and why."""

    strength: float
    """How strongly."""
    metric: str
    """Whose rate it was chosen by."""
    raised: bool
    """Whether that rate was to go up; else down."""
    moved: bool
    """Whether it did, by more than `NEAR`; if not, the strongest push is tested."""
    coherent: bool
    """Whether texts are coherent there (see `elicitation.coherence`). If not, they were at no
    strength, and this is the one where they come nearest."""


def choose(curve: DoseCurve, *, metric: str | None = None) -> Choice:
    """The weakest push that does nearly as much as the best one, in coherent texts.

    Where no push does anything, the strongest in coherent texts.

    Args:
        curve: Rates at several strengths.
        metric: Whose rate; None takes right answers where their gap is clear, else the first
            marker. It is to move towards the target; without a clear gap, away from what the
            model does by itself in most texts.

    Raises:
        ElicitationError: The metric was not measured, or 0 is the only strength.
    """
    clear = curve.gap.clear
    name = metric or _metric(curve.metric, bool(clear[0]))
    row = curve.metric_row(name)
    alone = float(curve.unsteered[row])
    raised = _raised(alone, float(curve.gap.value[row]), bool(clear[row]))
    steered = curve.strength != 0
    if not bool(steered.any()):
        raise ElicitationError(
            "the curve has no strength but 0, where nothing is steered, so there is none to "
            "choose. Pass others."
        )
    whole = curve.coherent.value[0]
    fits = steered & coherent_cells(whole, curve.unsteered_coherent)
    coherent = bool(fits.any())
    if not coherent:
        most = steered & (whole == whole[steered].max())
        fits = most & (curve.log_prob.value[0] == curve.log_prob.value[0, most].max())
    rates = curve.rate.value[row, :1, fits]
    place = best_cell(rates, curve.strength[fits], raised=raised, unsteered=alone)[1]
    moved = float(rates[0, place]) - alone
    return Choice(
        strength=float(curve.strength[fits][place]),
        metric=name,
        raised=raised,
        moved=(moved if raised else -moved) > NEAR,
        coherent=coherent,
    )


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
    own, theirs = rollouts(side, task, **how), None
    base = scores(own, goal.markers)[:, :, 0]
    post = torch.full_like(base, torch.nan)
    if goal.target is not None:
        theirs = rollouts(goal.target, task, **how)
        post = scores(theirs, goal.markers)[:, :, 0]
    gap, n = gaps_of(base, post, inference), len(strengths)
    row = goal.metrics.index(goal.metric or _metric(goal.metrics, bool(gap.clear[0])))
    alone = float(base[:, row].mean())
    raised = _raised(alone, float(gap.value[row]), bool(gap.clear[row]))
    references = references_of(side, own, goal, theirs)
    least = outcomes(own, references, goal).coherent.mean().item()
    rates, fits = [], []
    for arms in candidates:
        texts = dose_rollouts(side, task, arms[0].edit, strengths=strengths, **how)
        found = outcomes(texts, references, goal, n_cells=n)
        rates.append(found.score.mean(0)[row])
        fits.append(coherent_cells(found.coherent.mean(0), least))
    doses = torch.tensor([float(strength) for strength in strengths]).double()
    return best_cell(
        torch.stack(rates),
        doses,
        raised=raised,
        unsteered=alone,
        among=torch.stack(fits) & (doses != 0),
    )[0]


def coherent_cells(share: Float[Tensor, "*cell"], unsteered: float) -> Bool[Tensor, "*cell"]:
    """Where texts are as often coherent as without steering.

    Args:
        share: Share of coherent texts in each cell.
        unsteered: The same of the model's own texts.
    """
    return share >= unsteered - NEAR - _ROUNDING


def best_cell(
    rates: Float[Tensor, "arm strength"],
    strengths: Float[Tensor, " strength"],
    *,
    raised: bool,
    unsteered: float,
    among: Bool[Tensor, "arm strength"] | None = None,
    tie: Float[Tensor, "arm strength"] | None = None,
) -> tuple[int, int]:
    """Arm and strength of the weakest push whose rate is near the best; the strongest if none acts.

    Rates within `NEAR` of the best are as good. Where the best is no further from the unsteered
    rate, the strongest push is taken, so that the null result is not for want of a push.

    Args:
        rates: Of every arm and strength.
        strengths: Of each column.
        raised: Whether high rates are the good ones.
        unsteered: Rate of the model as it is.
        among: Cells that may be chosen; all if None, or if there is none.
        tie: What decides between equal pushes, high is good; the rates if None.
    """
    sign = 1.0 if raised else -1.0
    good = sign * rates
    if among is not None and bool(among.any()):
        # Incoherent text counts as doing nothing of what is wanted.
        good = good.masked_fill(~among, -torch.inf)
    acts = float(good.max()) > sign * unsteered + NEAR
    near = good.isfinite() & ((good >= good.max() - NEAR - _ROUNDING) | (not acts))
    second = good if tie is None else tie

    def order(cell: list[int]) -> tuple[float, float]:
        size = abs(float(strengths[cell[1]]))
        return (size if acts else -size, -float(second[cell[0], cell[1]]))

    arm, place = min(near.nonzero().tolist(), key=order)
    return int(arm), int(place)


def _metric(names: Sequence[str], clear: bool) -> str:
    """Right answers where there is a gap to close, else the first marker."""
    return names[0] if clear or len(names) == 1 else names[1]


def _raised(unsteered: float, gap: float, clear: bool) -> bool:
    """Whether a rate is to go up."""
    return gap > 0 if clear else unsteered <= 0.5
