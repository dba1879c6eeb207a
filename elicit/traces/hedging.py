"""Hedging: does a text hedge where the value that follows is uncertain?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats import Inference, Jackknife, jackknifed, measure_discrimination
from elicit.traces.errors import TraceError


@dataclass(frozen=True, eq=False, kw_only=True)
class Hedging(Result):
    """Whether markers stand before values that the reader is unsure of."""

    slope: Annotated[Estimate, ""]
    """Rise of the chance of a marker for each nat of entropy of the value that follows. NaN where
    entropy does not vary."""
    auroc: Annotated[Estimate, ""]
    """Chance that a value after a marker has more entropy than one without, ties counted half: it
    knows no scale, so models may be compared. NaN without markers, or with nothing else."""
    rate: Annotated[Estimate, ""]
    """Share of values after a marker."""
    entropy: Float[Tensor, " bin"]
    """Mean entropy of each bin of values, nats; bins are of about as many values each."""
    rate_by_entropy: Annotated[Estimate, "bin"]
    """Share of a bin's values after a marker, with intervals simultaneous over bins."""
    control: tuple[str, ...]
    """Words of about the markers' frequency."""
    control_slope: Annotated[Estimate, "control"]
    """Slope of each control, with intervals simultaneous over controls."""
    above_controls: Annotated[Estimate, ""]
    """Slope of the markers less the mean slope of the controls. NaN without controls."""
    n_values: int
    """Values read."""
    n_marked: int
    """Values after a marker."""
    level: float
    """Nominal coverage of the intervals."""


def hedging_slope(
    entropy: Float[Tensor, " value"],
    marked: Bool[Tensor, " value"],
    problem: Int[Tensor, " value"],
    *,
    controls: Mapping[str, Bool[Tensor, " value"]] | None = None,
    n_bins: int = 4,
    inference: Inference = Inference(),
) -> Hedging:
    """Whether markers stand before values that the reader is unsure of.

    Args:
        entropy: Entropy of the prediction at each value, nats, read where the value begins: at the
            marker itself the entropy is that of whether to hedge.
        marked: Whether a marker stands before the value (`marked_before`).
        problem: Number of its problem, the unit of all intervals.
        controls: The same of words about as frequent (`frequency_matched`), by word.
        n_bins: Bins of entropy, at least 1; equal entropies share one.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        TraceError: There are no values, a column has another length, an entropy is negative or not
            finite, or `n_bins` is below 1.

    Source: slope of the least-squares line, by the jackknife over problems. A logistic slope would
        be infinite for a model that hedges exactly where it is unsure.
    """
    told = {} if controls is None else dict(controls)
    h = entropy.double().numpy()
    _check(h, {"marked": marked, "problem": problem, **told}, n_bins)
    table = np.stack([each.double().numpy() for each in (marked, *told.values())])
    bins = _bins(h, n_bins)

    def slopes(kept: np.ndarray) -> np.ndarray:
        every = _slopes(h[kept], table[:, kept])
        beside = every[1:].mean() if len(every) > 1 else np.nan
        rate = table[0, kept].mean()
        return np.array([every[0], every[0] - beside, rate, *every[1:]])

    def rates(kept: np.ndarray) -> np.ndarray:
        size = np.bincount(bins[kept], minlength=bins.max() + 1)
        marks = np.bincount(bins[kept], table[0, kept], minlength=bins.max() + 1)
        return np.divide(marks, size, out=np.full(len(size), np.nan), where=size > 0)

    found = jackknifed(slopes, problem)
    alone = found.each(inference=inference)
    beside = Jackknife(value=found.value[3:], by_problem=found.by_problem[:, 3:])
    ranked = measure_discrimination({"entropy": entropy}, marked, problem, inference=inference)
    share = jackknifed(rates, problem)
    return Hedging(
        slope=alone[0],
        auroc=ranked.auroc[0],
        rate=found.each(inference=inference, span=1.0)[2],
        entropy=torch.from_numpy(np.bincount(bins, h) / np.bincount(bins)),
        rate_by_entropy=share.together(inference=inference, span=1.0),
        control=tuple(told),
        control_slope=beside.together(inference=inference),
        above_controls=alone[1],
        n_values=len(h),
        n_marked=int(marked.sum()),
        level=inference.level,
    )


def _slopes(
    x: Float[np.ndarray, " value"], y: Float[np.ndarray, "word value"]
) -> Float[np.ndarray, " word"]:
    """Slope of the least-squares line of each row over x; NaN where x does not vary."""
    off = x - x.mean()
    spread = (off**2).sum()
    if spread <= 1e-18 * len(x) * (1 + np.square(x).max()):
        return np.full(len(y), np.nan)
    return y @ off / spread


def _bins(entropy: Float[np.ndarray, " value"], n_bins: int) -> Int[np.ndarray, " value"]:
    """Bin of each value, of about as many each; equal entropies share one."""
    from scipy.stats import rankdata

    rank = (rankdata(entropy) - 0.5) / len(entropy)
    return np.unique(np.floor(rank * n_bins), return_inverse=True)[1]


def _check(h: np.ndarray, columns: Mapping[str, Tensor], n_bins: int) -> None:
    """Refuse what no slope can be drawn through."""
    lengths = {name: len(each) for name, each in columns.items()}
    if len(h) == 0 or set(lengths.values()) != {len(h)} or n_bins < 1:
        raise TraceError(
            f"there are {len(h)} entropies, columns of lengths {lengths} and {n_bins} bins, so "
            "markers cannot be held against the values after them. Pass at least one value, one "
            "number for each in every column, and 1 bin or more."
        )
    bad = ~(np.isfinite(h) & (h >= 0))
    if bad.any():
        raise TraceError(
            f"the entropy of {int(bad.sum())} values is negative or not finite, the first "
            f"{h[bad][0]}, so it is none. Pass nats, 0 or more, and leave out what was not read."
        )
