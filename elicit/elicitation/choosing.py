"""Which strength, and which place: chosen on some problems, to be told of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.arms import Arm
from elicit.elicitation.asking import Asking
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.dose_values import Behaviour, coherence, gaps_of, scores_of
from elicit.elicitation.errors import ElicitationError
from elicit.pair import Side
from elicit.rollouts import Generation
from elicit.runs import Execution
from elicit.stats import Inference
from elicit.tasks import Task

NEAR = 0.05
"""Rates so close to the best are as good: the weakest push of them is taken. Where the best is no
further from the unsteered rate, the strongest is, so that no effect is not for want of a push."""
_ROUNDING = 1e-9
MAX_LOSS = 1.0
"""Nats a token by which steered texts may be less probable than the model's own."""


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
    """Whether texts are probable enough there. If not, they were at no strength, and this is the
    one where they come nearest."""


def choose(curve: DoseCurve, *, metric: str | None = None, max_loss: float = MAX_LOSS) -> Choice:
    """The weakest push that does nearly as much as the best one, in texts that hang together.

    Where no push does anything, the strongest in texts that hang together.

    Args:
        curve: Rates at several strengths.
        metric: Whose rate; None takes right answers where their gap is clear, else the first
            behaviour. It is to move towards the target; without a clear gap, away from what the
            model does by itself in most texts.
        max_loss: How much less probable a token of the steered text may be than one of the model's
            own, under the unsteered model, nats.

    Raises:
        ElicitationError: The metric was not measured, or 0 is the only strength.
    """
    name = metric or _metric(curve.metric, bool(curve.gap_clear[0]))
    row = curve.metric_row(name)
    raised = _raised(float(curve.unsteered[row]), float(curve.gap[row]), bool(curve.gap_clear[row]))
    there = curve.strength != 0
    if not bool(there.any()):
        raise ElicitationError(
            "the curve has no strength but 0, where nothing is steered, so there is none to "
            "choose. Pass others."
        )
    probable = there & (curve.log_prob[0] >= curve.unsteered_log_prob - max_loss)
    coherent = bool(probable.any())
    if not coherent:
        probable = there & (curve.log_prob[0] == curve.log_prob[0, there].max())
    rates, alone = curve.rate[row, :1, probable], float(curve.unsteered[row])
    place = best_cell(rates, curve.strength[probable], raised, alone)[1]
    moved = float(rates[0, place]) - alone
    return Choice(
        strength=float(curve.strength[probable][place]),
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
    target: Side | None = None,
    behaviours: Mapping[str, Behaviour] | None = None,
    metric: str | None = None,
    max_loss: float = MAX_LOSS,
    generation: Generation = Generation(),
    inference: Inference = Inference(),
    execution: Execution = Execution(),
) -> int:
    """Number of the candidate that does most at some strength, such as the site to steer at.

    Of candidates that do nearly as much, the one that does it at the weakest push; only texts that
    hang together count, if there are any. Only what is under test is run, not the controls.

    Args:
        side: The model that is steered.
        task: Problems to choose on.
        candidates: Arms of each, the one under test first.
        strengths: How strongly, each once.
        target: Model whose rates are the goal.
        behaviours: What else is looked for in each text, by name.
        metric: Whose rate; see `choose`.
        max_loss: How much less probable steered texts may be; see `choose`.
        generation: How texts are generated.
        inference: Coverage and resamples of the intervals, and the seed.
        execution: Tokens per forward pass, memory, checkpoint and progress.

    Raises:
        ElicitationError: There is no candidate, or see `dose_curve`.
    """
    if not candidates:
        raise ElicitationError("there is no candidate, so none can be chosen. Pass one or more.")
    watched = dict(behaviours or {})
    ask = Asking(
        side=side,
        generation=generation,
        seed=inference.seed,
        execution=execution,
    )
    for arms in candidates:
        ask.check(task, arms, strengths, watched)
    if len(candidates) == 1:
        return 0
    plain = ask.plain(task)
    base = scores_of(plain, watched, 1)[:, :, 0]
    post = torch.full_like(base, torch.nan)
    if target is not None:
        post = scores_of(ask.plain(task, target), watched, 1)[:, :, 0]
    gaps, n = gaps_of(base, post, inference), len(strengths)
    names = ("accuracy", *watched)
    name = metric or _metric(names, bool(gaps["gap_clear"][0]))
    row = names.index(name)
    alone = float(base[:, row].mean())
    raised = _raised(alone, float(gaps["gap"][row]), bool(gaps["gap_clear"][row]))
    least = coherence(side, plain, 1).mean().item() - max_loss
    rates, probable = [], []
    for arms in candidates:
        found = ask.steered(task, arms[0], strengths)
        rates.append(scores_of(found, watched, n).mean(0)[row])
        probable.append(coherence(side, found, n).mean(0) >= least)
    kept, doses = torch.stack(rates), torch.tensor([float(s) for s in strengths]).double()
    fits = torch.stack(probable) & (doses != 0)
    if bool(fits.any()):
        # What falls apart counts as doing nothing of what is wanted.
        kept = torch.where(fits, kept, -torch.inf if raised else torch.inf)
    return best_cell(kept, doses, raised, alone)[0]


def best_cell(
    rates: Float[Tensor, "arm strength"],
    strengths: Float[Tensor, " strength"],
    raised: bool,
    unsteered: float,
) -> tuple[int, int]:
    """Arm and strength of the weakest push whose rate is near the best; the strongest if none acts.

    Args:
        rates: Of every arm and strength.
        strengths: Of each column.
        raised: Whether high rates are the good ones.
        unsteered: Rate of the model as it is.
    """
    sign = 1.0 if raised else -1.0
    good = sign * rates
    acts = float(good.max()) > sign * unsteered + NEAR
    near = good.isfinite() & ((good >= good.max() - NEAR - _ROUNDING) | (not acts))

    def order(cell: list[int]) -> tuple[float, float]:
        size = abs(float(strengths[cell[1]]))
        return (size if acts else -size, -float(good[cell[0], cell[1]]))

    arm, place = min(near.nonzero().tolist(), key=order)
    return int(arm), int(place)


def _metric(names: Sequence[str], clear: bool) -> str:
    """Right answers where there is a gap to close, else the first behaviour."""
    return names[0] if clear or len(names) == 1 else names[1]


def _raised(unsteered: float, gap: float, clear: bool) -> bool:
    """Whether a rate is to go up."""
    return gap > 0 if clear else unsteered <= 0.5
