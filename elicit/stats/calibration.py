"""Calibration: does the confidence in an answer say how often it is right?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats._forecasts import MEASURES, equal_mass, measured, risk_at
from elicit.stats.discrimination import area_by_problem, area_estimate
from elicit.stats.estimate import joint_estimate
from elicit.stats.inference import Inference
from elicit.stats.jackknife import jackknifed

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibration(Result):
    """How well the confidence in answers matches how often they are right.

    None of these sees lost ability: a model that is right less often and says so is as calibrated
    as before. Read them beside the accuracy.
    """

    ece: Annotated[Estimate, ""]
    """Mean |confidence - accuracy| over bins of equal width. Above 0 by chance alone, the more so
    the fewer rows a bin has: for comparison with published numbers."""
    ece_debiased: Annotated[Estimate, ""]
    """Root mean square of confidence - accuracy over bins of equal mass, less what chance adds.
    The square is not clipped; where it is negative this is minus the root of its size, and no
    miscalibration was seen."""
    brier: Annotated[Estimate, ""]
    """Mean squared error of confidence. It is reliability - resolution + uncertainty +
    within_bins, exactly."""
    reliability: Annotated[Estimate, ""]
    """Mean square of confidence - accuracy over bins of equal mass, chance included."""
    resolution: Annotated[Estimate, ""]
    """Variance of accuracy over bins: higher is better."""
    uncertainty: Annotated[Estimate, ""]
    """Accuracy × error rate: what no forecast changes."""
    within_bins: Annotated[Estimate, ""]
    """What is left of the Brier score because confidence varies within bins."""
    auroc: Annotated[Estimate, ""]
    """Chance that a right answer has more confidence than a wrong one, ties counted half; NaN
    where all are right or all wrong."""
    aurc: Annotated[Estimate, ""]
    """Area under the risk-coverage curve: mean error rate among the k most confident answers."""
    excess_aurc: Annotated[Estimate, ""]
    """The same less the area with all errors last, the least possible at this accuracy."""
    stated: Float[Tensor, " bin"]
    """Mean confidence in each bin of equal mass."""
    accuracy: Annotated[Estimate, "bin"]
    """Share of right answers in each bin, with intervals simultaneous over bins."""
    n_in_bin: Int[Tensor, " bin"]
    """Answers in each bin."""
    coverage: Float[Tensor, " coverage"]
    """Share of answers kept, the most confident first."""
    risk: Annotated[Estimate, "coverage"]
    """Error rate among the answers kept, with intervals simultaneous over coverages."""
    measure: tuple[str, ...]
    """Measures that `by_problem` holds; `squared_calibration_error` is that of `ece_debiased`."""
    problem: Int[Tensor, " problem"]
    """Number of each problem."""
    by_problem: Float[Tensor, "problem measure"]
    """What each problem says of each measure: the mean over problems is the measure."""
    n_answers: int
    """Answers."""
    n_errors: int
    """Wrong answers."""
    level: float
    """Nominal coverage of the intervals."""


def measure_calibration(
    confidence: Float[Tensor, " row"],
    correct: Bool[Tensor, " row"],
    problem: Int[Tensor, " row"],
    *,
    n_bins: int = 10,
    coverage: Sequence[float] = SHARES,
    inference: Inference = Inference(),
) -> Calibration:
    """How well the confidence in answers matches how often they are right.

    Bins of equal mass keep equal confidence together, so that the order of rows does not matter;
    bins with answers to fewer than 3 problems are merged with the one below.

    Args:
        confidence: Probability of being right that each answer was given, in [0, 1].
        correct: Whether it is right.
        problem: Number of its problem, the unit of all intervals.
        n_bins: Bins of equal width, and as many of equal mass, at least 1.
        coverage: Shares of answers at which to give the risk, in (0, 1]; a share that is no whole
            number of answers holds a part of the last one.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        ValueError: Columns of different lengths or without rows, a confidence outside [0, 1], or
            an option out of range.

    Source: Naeini et al. 2015 (ECE); Bröcker 2012, Ferro & Fricker 2012 and Kumar et al. 2019
        (debiased: (p̄ - ȳ)² - ȳ(1 - ȳ)/(n - 1) in a bin, summed and not clipped); Murphy 1973 and
        Stephenson et al. 2008 (split of the Brier score); Geifman et al. 2019 (AURC and its
        excess, with the exact area of the best order). What chance adds is the variance of a bin's
        accuracy clustered by problem; with one answer a problem it is ȳ(1 - ȳ)/(n - 1). Intervals
        by the jackknife over problems, bins held fixed.
    """
    p, y, group, present = _checked(confidence, correct, problem, n_bins, coverage)
    bins = equal_mass(p, group, n_bins)
    numbers = torch.from_numpy(group)

    def parts(kept: np.ndarray) -> np.ndarray:
        return measured(p[kept], y[kept], group[kept], bins[kept], n_bins)

    def risks(kept: np.ndarray) -> np.ndarray:
        return risk_at(p[kept], 1 - y[kept], np.asarray(coverage))

    def accuracies(kept: np.ndarray) -> np.ndarray:
        size = np.bincount(bins[kept], minlength=bins.max() + 1)
        right = np.bincount(bins[kept], y[kept], minlength=bins.max() + 1)
        return np.divide(right, size, out=np.full(len(size), np.nan), where=size > 0)

    found, size = jackknifed(parts, numbers), np.bincount(bins)
    area = area_by_problem(confidence[None].double(), correct, numbers)
    each = found.each(inference=inference, span=1.0)
    named = {name: each[index] for index, name in enumerate(MEASURES)}
    return Calibration(
        ece=named["ece"],
        ece_debiased=named["squared_calibration_error"].map(_signed_root),
        brier=named["brier"],
        reliability=named["reliability"],
        resolution=named["resolution"],
        uncertainty=named["uncertainty"],
        within_bins=named["within_bins"],
        aurc=named["aurc"],
        excess_aurc=named["excess_aurc"],
        auroc=area_estimate(area, correct, numbers, inference=inference)[0],
        stated=torch.from_numpy(np.bincount(bins, p) / size),
        accuracy=jackknifed(accuracies, numbers).together(inference=inference, span=1.0),
        n_in_bin=torch.from_numpy(size),
        coverage=torch.tensor(list(coverage), dtype=torch.float64),
        risk=jackknifed(risks, numbers).together(inference=inference, span=1.0),
        measure=(*MEASURES, "auroc"),
        problem=torch.from_numpy(present),
        by_problem=torch.cat([found.by_problem, area.by_problem], dim=1),
        n_answers=len(y),
        n_errors=int((1 - y).sum()),
        level=inference.level,
    )


def calibration_difference(
    a: Calibration, b: Calibration, *, inference: Inference = Inference()
) -> Estimate:
    """Each measure of a less that of b on the same problems, jointly over measures.

    Args:
        a: One model's calibration.
        b: What it is compared with.
        inference: Coverage and resamples of the intervals, and the seed.

    Returns:
        One part a `measure`; that of `squared_calibration_error` is a difference of squares. NaN
        for the AUROC where a side has no error, or nothing but errors.

    Raises:
        ValueError: The two rest on different problems.
    """
    if not torch.equal(a.problem, b.problem):
        apart = set(a.problem.tolist()) ^ set(b.problem.tolist())
        raise ValueError(
            f"{len(apart)} problems are in one calibration only, the first {min(apart)}, so they "
            "cannot be compared problem by problem. Measure both on the same problems."
        )
    return joint_estimate(a.by_problem - b.by_problem, inference=inference)


def _signed_root(square: Tensor) -> Tensor:
    return square.sign() * square.abs().sqrt()


def _checked(
    confidence: Tensor,
    correct: Tensor,
    problem: Tensor,
    n_bins: int,
    coverage: Sequence[float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, correctness and number of each row's problem, and the problems."""
    p = confidence.double().numpy()
    if not 0 < len(p) == len(correct) == len(problem):
        raise ValueError(
            f"there are {len(p)} confidences, {len(correct)} answers and {len(problem)} problems, "
            "so there is no calibration. Pass at least one answer, each with its confidence and "
            "its problem."
        )
    outside = p[~((p >= 0) & (p <= 1))]
    if len(outside):
        raise ValueError(
            f"confidence holds {outside[0]}, but a calibration error compares it with a share of "
            "right answers. Pass probabilities in [0, 1]; a score on another scale has an AUROC "
            "only: measure_discrimination."
        )
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}, so no answer has a bin. Pass 1 or more, say 10.")
    wrong = [share for share in coverage if not 0 < share <= 1]
    if wrong:
        raise ValueError(
            f"coverage holds {wrong[0]}, but it is the share of answers kept. Pass shares above 0 "
            "and at most 1."
        )
    present, group = np.unique(problem.numpy(), return_inverse=True)
    return p, correct.double().numpy(), group, present
