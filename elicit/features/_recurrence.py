"""Recurrence rates of features in resampled texts, with intervals over problems."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import reduce, repeat
from jaxtyping import Float
from torch import Tensor

from elicit.features._positions import Cut, Positions, Resampling
from elicit.features._reading import Rows, blocks, rows_of
from elicit.features.sae import Sae
from elicit.pair import ModelPair, Side
from elicit.results import Estimate
from elicit.rollouts import resample
from elicit.runs import Execution
from elicit.stats import Inference, Interval, paired_difference, problem_mean


@dataclass(frozen=True, eq=False, kw_only=True)
class Recurrence:
    """Recurrence rates of every cut."""

    positions: Positions
    """Cuts of the texts."""
    cuts: tuple[Cut, ...]
    """Every cut once."""
    active: Float[Tensor, "cut feature"]
    """Share of continuations in which a feature exceeds its threshold."""
    token: Float[Tensor, " cut"]
    """Share of continuations that contain the cut token."""
    shown: Float[Tensor, " cut"]
    """Share of continuations that show the behaviour; NaN if not counted."""

    def at(self, cuts: Sequence[Cut]) -> list[int]:
        """Indices of the given cuts."""
        return [self.cuts.index(cut) for cut in cuts]


def recurrence(
    pair: ModelPair,
    side: Side,
    sae: Sae,
    tokens: Rows,
    positions: Positions,
    *,
    resampling: Resampling,
    seed: int,
    execution: Execution = Execution(),
) -> Recurrence:
    """Resample every text from its cuts, and measure recurrence."""
    cuts, shown = positions.cuts, resampling.shown
    new = resample(
        side,
        [tokens.rows[row][:pos] for row, pos in cuts],
        generation=resampling.generation,
        seed=seed,
        execution=execution,
    )
    whole = [
        ([*tokens.rows[row][:pos], *ids], pos)
        for (row, pos), samples in zip(cuts, new, strict=True)
        for ids in samples
    ]
    largest = _largest(pair, side, sae, whole, positions.features, execution)
    active = (largest >= positions.threshold).double()
    n = resampling.generation.n_samples

    def share(has: Sequence[bool]) -> float:
        return sum(has) / n

    return Recurrence(
        positions=positions,
        cuts=tuple(cuts),
        active=reduce(active, "(cut sample) feature -> cut feature", "mean", sample=n),
        token=torch.tensor(
            [
                share([tokens.rows[row][pos] in ids for ids in samples])
                for (row, pos), samples in zip(cuts, new, strict=True)
            ],
            dtype=torch.float64,
        ),
        shown=torch.tensor(
            [
                float("nan")
                if shown is None
                else share([bool(shown(side.alignment.decode(ids))) for ids in samples])
                for samples in new
            ],
            dtype=torch.float64,
        ),
    )


def _largest(
    pair: ModelPair,
    side: Side,
    sae: Sae,
    texts: Sequence[tuple[list[int], int]],
    features: Sequence[int],
    execution: Execution,
) -> Float[Tensor, "text feature"]:
    """Largest activation of features from a position of each text on; 0 if no token counts."""
    largest = torch.zeros(len(texts), len(features))
    if not texts:
        return largest
    rows = rows_of(pair, [ids for ids, _ in texts])
    new = rows.counted & (rows.pos >= torch.tensor([begin for _, begin in texts])[rows.row])
    if bool(new.any()):
        for block in blocks(side, sae, rows, counted=new, execution=execution):
            acts = block.acts[:, list(features)].float().cpu()
            row = repeat(rows.row[block.index], "token -> token feature", feature=len(features))
            largest.scatter_reduce_(0, row, acts, "amax")
    return largest


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidate:
    """Recurrence of one candidate in each arm."""

    verdict: str
    rate: Estimate
    """Rate in each arm."""
    excess: Estimate
    """Rate at its positions minus that of each arm."""
    token: Float[Tensor, " arm"]
    shown: Float[Tensor, " arm"]
    rates: list[float]
    """Rate at each of its positions."""


def candidate(
    counted: Recurrence, i: int, *, least: float, inference: Inference = Inference()
) -> Candidate:
    """Rates of one candidate with intervals, and the verdict."""
    positions = counted.positions
    peaks, random = counted.at(positions.peaks[i]), counted.at(positions.random[i])
    rows = [row for row, _ in positions.peaks[i]]
    # A text with a single position has no random one; pairs need both.
    paired = [rows.index(row) for row, _ in positions.random[i]]
    matched = [positions.features.index(f) for f in positions.matched[i]]
    at_peaks = counted.active[peaks, i].numpy()
    at_random = counted.active[random, i].numpy()
    of_matched = counted.active[peaks][:, matched].mean(1).numpy() if matched else np.zeros(0)
    rates = [
        # BCa keeps the ends within [0, 1].
        problem_mean(values, inference=inference, method="bca", proportion=True)
        for values in (at_peaks, at_random, of_matched)
    ]
    excess = [
        paired_difference(a, b, inference=inference, proportion=True)
        for a, b in (
            (at_peaks[paired], at_random),
            (at_peaks if matched else at_peaks[:0], of_matched),
        )
    ]
    nan = float("nan")
    return Candidate(
        verdict=verdict(rates[0], excess, least=least),
        rate=Estimate.of_intervals(rates),
        excess=Estimate.of_intervals([problem_mean(np.zeros(0), inference=inference), *excess]),
        token=torch.tensor([_mean(counted.token[peaks]), _mean(counted.token[random]), nan]),
        shown=torch.tensor([_mean(counted.shown[peaks]), _mean(counted.shown[random]), nan]),
        rates=at_peaks.tolist(),
    )


def verdict(rate: Interval, excess: Sequence[Interval], *, least: float) -> str:
    """Verdict of stability from the rate at a feature's positions and both controls.

    `excess`: that rate minus that of each control. `least`: rate that a stable feature clearly
    exceeds and an unstable one clearly misses.
    """
    if rate.value != rate.value:
        return "never active"
    if rate.low > least and all(one.low > 0 for one in excess):
        return "stable"
    return "unstable" if rate.high < least else "unclear"


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else float("nan")
