"""How often a feature recurs when its text is resampled, with intervals over problems."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from elicit.features._continuations import Continuations, largest_activations
from elicit.features._positions import Cut, Positions, Resampling
from elicit.features._reading import Rows
from elicit.features.sae import Sae
from elicit.pair import ModelPair, Side
from elicit.results import Estimate
from elicit.runs import Execution
from elicit.stats import Inference, Interval, bootstrap_mean, wilson


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence:
    """Shares of the continuations of every cut in which something recurs."""

    positions: Positions
    """Where texts were cut."""
    cuts: tuple[Cut, ...]
    """Every cut once."""
    active: Float[Tensor, "cut feature"]
    """Share in which a feature is active above its threshold."""
    token: Float[Tensor, " cut"]
    """Share that contains the token that was cut off."""
    shown: Float[Tensor, " cut"]
    """Share that shows the behaviour; NaN if not counted."""

    def at(self, cuts: Sequence[Cut]) -> list[int]:
        """Indices of some cuts.

        Args:
            cuts: Which.
        """
        return [self.cuts.index(cut) for cut in cuts]


def recurrence(
    pair: ModelPair,
    side: Side,
    sae: Sae,
    tokens: Rows,
    positions: Positions,
    continuations: Continuations,
    resampling: Resampling,
    *,
    execution: Execution = Execution(),
) -> Recurrence:
    """What recurs in the continuations of every cut.

    Args:
        pair: Base and post.
        side: The model that was resampled and is read.
        sae: Whose features.
        tokens: Texts.
        positions: Where they were cut.
        continuations: New tokens of every sample of every cut, in the order of `positions.cuts`.
        resampling: What counts as active, and whether the behaviour is counted.
        execution: Tokens per forward pass, memory, checkpoint and progress.
    """
    new = dict(zip(positions.cuts, continuations, strict=True))
    largest = largest_activations(
        pair, side, sae, tokens, new, positions.features, execution=execution
    )
    active = (largest >= positions.threshold).double()
    shown = resampling.shown

    def share(has: Sequence[bool]) -> float:
        return sum(has) / len(has)

    return Recurrence(
        positions=positions,
        cuts=tuple(new),
        active=reduce(active, "cut sample feature -> cut feature", "mean"),
        token=torch.tensor(
            [
                share([tokens.rows[row][pos] in ids for ids in samples])
                for (row, pos), samples in new.items()
            ],
            dtype=torch.float64,
        ),
        shown=torch.tensor(
            [
                float("nan")
                if shown is None
                else share([bool(shown(side.alignment.decode(ids))) for ids in samples])
                for samples in new.values()
            ],
            dtype=torch.float64,
        ),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """What recurs of one candidate, arm by arm."""

    verdict: str
    rate: Estimate
    """Rate of each arm."""
    excess: Estimate
    """Rate at its own positions minus that of each arm."""
    token: Float[Tensor, " arm"]
    shown: Float[Tensor, " arm"]
    rates: list[float]
    """At each of its own positions."""


def candidate(
    counted: Recurrence, i: int, *, least: float, inference: Inference = Inference()
) -> Candidate:
    """Rates of one candidate with their intervals, and the verdict.

    Args:
        counted: What recurs.
        i: Place of the candidate among all.
        least: Rate that a stable one must clearly exceed.
        inference: Coverage and resamples of the intervals, and the seed.
    """
    positions = counted.positions
    peaks, random = counted.at(positions.peaks[i]), counted.at(positions.random[i])
    rows = [row for row, _ in positions.peaks[i]]
    # A text without another position has no random one; the pairs are those that have both.
    paired = [rows.index(row) for row, _ in positions.random[i]]
    matched = [positions.features.index(f) for f in positions.matched[i]]
    at_peaks = counted.active[peaks, i].numpy()
    at_random = counted.active[random, i].numpy()
    of_matched = counted.active[peaks][:, matched].mean(1).numpy() if matched else np.zeros(0)
    rates = [_rate(values, inference) for values in (at_peaks, at_random, of_matched)]
    excess = [
        _difference(at_peaks[paired], at_random, inference),
        _difference(at_peaks if matched else at_peaks[:0], of_matched, inference),
    ]
    nan = float("nan")
    return Candidate(
        verdict=verdict(rates[0], excess, least=least),
        rate=Estimate.of_intervals(rates),
        excess=Estimate.of_intervals([_missing(inference), *excess]),
        token=torch.tensor([_mean(counted.token[peaks]), _mean(counted.token[random]), nan]),
        shown=torch.tensor([_mean(counted.shown[peaks]), _mean(counted.shown[random]), nan]),
        rates=at_peaks.tolist(),
    )


def verdict(rate: Interval, excess: Sequence[Interval], *, least: float) -> str:
    """What the rate at a feature's own positions says, beside both controls.

    Args:
        rate: Rate at its own positions.
        excess: How much that is above each control.
        least: Rate that a stable feature must clearly exceed, and an unstable one clearly miss.
    """
    if rate.value != rate.value:
        return "never active"
    if rate.low > least and all(one.low > 0 for one in excess):
        return "stable"
    return "unstable" if rate.high < least else "unclear"


def _rate(values: np.ndarray, inference: Inference) -> Interval:
    """Mean of a share of each problem."""
    if len(values) < 2:
        return _missing(inference, float(values.mean()) if len(values) else float("nan"))
    if values.min() == values.max() and values[0] in (0.0, 1.0):
        # No failure was seen, which is not to say that there are none.
        return wilson(round(len(values) * values[0]), len(values), level=inference.level)
    # BCa: the ends of a share stay shares.
    return bootstrap_mean(
        values,
        level=inference.level,
        n_resamples=inference.n_resamples,
        method="bca",
        seed=inference.seed,
    )


def _difference(a: np.ndarray, b: np.ndarray, inference: Inference) -> Interval:
    """Mean of a - b over problems."""
    values = a - b
    if len(values) < 2:
        return _missing(inference, float(values.mean()) if len(values) else float("nan"))
    if np.ptp(values) == 0:
        # The same in every problem: as uncertain as both sides together.
        one, two, value = _rate(a, inference), _rate(b, inference), float(values[0])
        return Interval(
            value=value,
            low=value - float(np.hypot(one.value - one.low, two.high - two.value)),
            high=value + float(np.hypot(one.high - one.value, two.value - two.low)),
            level=inference.level,
            n=len(values),
            method="square-and-add",
        )
    return bootstrap_mean(
        values, level=inference.level, n_resamples=inference.n_resamples, seed=inference.seed
    )


def _missing(inference: Inference, value: float = float("nan")) -> Interval:
    """A number without an interval."""
    nan = float("nan")
    return Interval(value=value, low=nan, high=nan, level=inference.level, n=1, method="none")


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else float("nan")
