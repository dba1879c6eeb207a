"""Which strength: chosen on some problems, reported on held-out ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.elicitation.coherence import NEAR
from elicit.elicitation.dose_result import DoseCurve
from elicit.elicitation.errors import ElicitationError

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


def choose(curve: DoseCurve, *, metric: str | None = None, arm: int = 0) -> Choice:
    """The weakest push that does nearly as much as the best one, in coherent texts.

    Where no push does anything, the strongest in coherent texts.

    Args:
        curve: Rates at several strengths.
        metric: Whose rate; None takes right answers where their gap is clear, else the first
            marker. It is to move towards the target; without a clear gap, away from what the
            model does by itself in most texts.
        arm: Place of the arm, the one under test or a control: both are chosen for alike.

    Raises:
        ElicitationError: The metric was not measured, or 0 is the only strength.
    """
    clear = curve.gap.clear
    name = metric or default_metric(curve.metric, bool(clear[0]))
    row = curve.metric_row(name)
    alone = float(curve.unsteered[row])
    raised = to_raise(alone, float(curve.gap.value[row]), bool(clear[row]))
    steered = curve.strength != 0
    if not bool(steered.any()):
        raise ElicitationError(
            "the curve has no strength but 0, where nothing is steered, so there is none to "
            "choose. Pass others."
        )
    whole = curve.coherent.value[arm]
    fits = steered & coherent_cells(whole, curve.unsteered_coherent)
    coherent = bool(fits.any())
    if not coherent:
        most = steered & (whole == whole[steered].max())
        fits = most & (curve.log_prob.value[arm] == curve.log_prob.value[arm, most].max())
    rates = curve.rate.value[row, arm : arm + 1, fits]
    place = best_cell(rates, curve.strength[fits], raised=raised, unsteered=alone)[1]
    moved = float(rates[0, place]) - alone
    return Choice(
        strength=float(curve.strength[fits][place]),
        metric=name,
        raised=raised,
        moved=(moved if raised else -moved) > NEAR,
        coherent=coherent,
    )


def coherent_cells(share: Float[Tensor, "*cell"], unsteered: float) -> Bool[Tensor, "*cell"]:
    """Where texts are as often coherent as without steering."""
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


def own_strengths(
    rates: Float[Tensor, "control strength"],
    strengths: Float[Tensor, " strength"],
    *,
    unsteered: float,
    tested: float,
) -> tuple[float, ...]:
    """The strength that is best for each control; for one that does nothing, the tested one.

    Args:
        rates: Of every control and strength; high is good.
        strengths: Of each column.
        unsteered: Rate of the model as it is.
        tested: Strength of the arm that they are held against.
    """
    found = []
    for row in rates.unbind(0):
        _, place = best_cell(row[None], strengths, raised=True, unsteered=unsteered)
        moved = float(row[place]) > unsteered + NEAR
        found.append(float(strengths[place]) if moved else tested)
    return tuple(found)


def default_metric(names: Sequence[str], clear: bool) -> str:
    """Right answers where there is a gap to close, else the first marker."""
    return names[0] if clear or len(names) == 1 else names[1]


def to_raise(unsteered: float, gap: float, clear: bool) -> bool:
    """Whether a rate is to go up: towards the target, or away from what most texts do.

    Args:
        unsteered: Rate of the model as it is.
        gap: Of the target.
        clear: Whether that gap is clear.
    """
    return gap > 0 if clear else unsteered <= 0.5
