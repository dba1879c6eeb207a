"""Does confidence tell right answers from wrong ones?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.stats import (
    Inference,
    Interval,
    measure_discrimination,
    paired_permutation,
    problem_mean,
    unpaired_difference,
    unseen,
)
from elicit.traces.confidence import group_confidence, group_means, lowest_group
from elicit.traces.reading import Reading, Readings

SIGNALS = ("answer share", "lowest group", "mean", "-length")
WINDOW = 8
"""Tokens of a group."""
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class Discrimination(Result):
    """Area under the ROC curve of several signals of confidence for right answers, by model.

    0.5: the signal says nothing. Where a model is always right, or always wrong, there is no area.
    Length alone often does as much as confidence, so it stands beside.
    """

    signal: tuple[str, ...]
    """`answer share`: share of the chosen answer among the candidates; `lowest group` and `mean`:
    peakedness of the thought's least sure eight tokens in a row, and of all; `-length`: fewer
    tokens."""
    reading: tuple[str, ...]
    """Whose reading: `base`, `post`."""
    auroc: Annotated[Estimate, "signal reading"]
    """Area under the ROC curve; clustered by problem."""
    difference: Annotated[Estimate, "signal"]
    """Post minus base."""
    p: Float[Tensor, " signal"]
    """Two-sided p-value of the difference, not adjusted."""
    n_right: Int[Tensor, " reading"]
    """Problems answered rightly after the thought."""
    n: Int[Tensor, " reading"]
    """Problems."""


def discrimination(
    pair: ModelPair, readings: Readings, *, inference: Inference = Inference()
) -> Discrimination:
    """How well confidence tells right from wrong answers, arithmetic on the ledgers.

    Args:
        pair: The two models, for the provenance.
        readings: Base's reading and post's.
        inference: Coverage, resamples and seed.

    Source: group confidence of Fu et al. 2025 (arXiv:2508.15260), with windows of eight tokens.
    """
    signals = {reading.model: signals_of(reading) for reading in readings.both}
    right = {reading.model: right_of(reading) for reading in readings.both}
    values = {
        reading.model: _linearised(readings, reading, signals[reading.model], right[reading.model])
        for reading in readings.both
    }
    estimates, differences, p = [], [], []
    for i in range(len(SIGNALS)):
        rows = [values[reading.model][i] for reading in readings.both]
        sides = [
            _area(row, right[reading.model], inference)
            for row, reading in zip(rows, readings.both, strict=True)
        ]
        estimates.append(Estimate.of_intervals(sides))
        apart = rows[1] - rows[0]
        known = apart[~apart.isnan()]
        if len(known) >= 2 and float(known.max() - known.min()) < _ROUNDING:
            differences.append(unpaired_difference(sides[1], sides[0]).within(-1.0, 1.0))
        else:
            differences.append(problem_mean(apart, inference=inference).within(-1.0, 1.0))
        p.append(
            paired_permutation(
                known, torch.zeros_like(known), n_resamples=inference.n_resamples,
                seed=inference.seed,
            ).p
            if len(known) >= 2
            else float("nan")
        )  # fmt: skip
    return Discrimination(
        provenance=pair.provenance(
            inference.seed,
            {"question": "discrimination", "window": WINDOW, "level": inference.level},
            task_digests=readings.digests,
        ),
        signal=SIGNALS,
        reading=("base", "post"),
        auroc=Estimate.stack(estimates),
        difference=Estimate.of_intervals(differences),
        p=torch.tensor(p, dtype=torch.float64),
        n_right=torch.tensor([int(right[r.model].sum()) for r in readings.both]),
        n=torch.tensor([len(r.ledger) for r in readings.both]),
    )


def right_of(reading: Reading) -> Bool[Tensor, " thought"]:
    """Whether the answer after each whole thought is the right one.

    Args:
        reading: A model's reading.
    """
    return torch.tensor([curve.final == curve.gold for curve in reading.curves()])


def signals_of(reading: Reading) -> Mapping[str, Float[Tensor, " thought"]]:
    """Signals of confidence of every thought; larger is surer.

    Args:
        reading: A model's reading.
    """
    ledger = reading.ledger
    sure = ledger.peakedness[reading.scorer].double()
    size = torch.bincount(ledger.token_thought, minlength=len(ledger))
    offsets = torch.cat([size.new_zeros(1), size.cumsum(0)])
    values = {
        "answer share": torch.stack([curve.share[-1].max() for curve in reading.curves()]),
        "lowest group": lowest_group(group_confidence(sure, offsets, window=WINDOW)),
        "mean": group_means(sure, offsets[:-1], offsets[1:]),
        "-length": -size.double(),
    }
    return {name: values[name].double() for name in SIGNALS}


def _area(
    values: Float[Tensor, " problem"], right: Bool[Tensor, " thought"], inference: Inference
) -> Interval:
    """Area with its interval; a perfect order is not certain for having no spread."""
    found = problem_mean(values, inference=inference).within(0.0, 1.0)
    n_right = int(right.sum())
    room = unseen(max(1, min(n_right, len(right) - n_right)), inference.level)
    if found.value > 1 - _ROUNDING:
        return replace(found, low=1 - room, high=1.0)
    if found.value < _ROUNDING:
        return replace(found, low=0.0, high=room)
    return found


def _linearised(
    readings: Readings,
    reading: Reading,
    signals: Mapping[str, Float[Tensor, " thought"]],
    right: Bool[Tensor, " thought"],
) -> Float[Tensor, "signal problem"]:
    out = torch.full((len(SIGNALS), len(readings.problem)), torch.nan, dtype=torch.float64)
    if not 0 < int(right.sum()) < len(right):
        return out
    place = {name: i for i, name in enumerate(readings.problem)}
    at = torch.tensor([place[name] for name in reading.ledger.problem])
    found = measure_discrimination(signals, right, torch.arange(len(at)))
    out[:, at] = found.by_problem.T
    return out
