"""Does confidence tell right answers from wrong ones?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.results import Estimate, Result
from elicit.stats import (
    Inference,
    measure_discrimination,
    paired_permutation,
    problem_mean,
)
from elicit.traces.reading import Reading, Readings

SIGNALS = ("answer share", "lowest group", "mean", "-length")
WINDOW = 8
"""Tokens of a group."""


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
        estimates.append(
            Estimate.of_intervals(problem_mean(row, inference=inference) for row in rows)
        )
        apart = rows[1] - rows[0]
        differences.append(problem_mean(apart, inference=inference))
        known = apart[~apart.isnan()]
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
            task_digests={r.model: r.thoughts.digest for r in readings.both},
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
    ledger, found = reading.ledger, {name: [] for name in SIGNALS}
    for curve in reading.curves():
        sure = ledger.peakedness[reading.scorer, ledger.tokens_of(curve.thought)].double()
        groups = sure.unfold(0, min(WINDOW, len(sure)), 1).mean(-1)
        found["answer share"].append(float(curve.share[-1].max()))
        found["lowest group"].append(float(groups.min()))
        found["mean"].append(float(sure.mean()))
        found["-length"].append(-float(len(sure)))
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in found.items()}


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
