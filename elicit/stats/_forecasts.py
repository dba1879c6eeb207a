"""Sums behind calibration and selective prediction, on plain arrays."""

import numpy as np
from jaxtyping import Float, Int

MEASURES = (
    "ece",
    "squared_calibration_error",
    "brier",
    "reliability",
    "resolution",
    "uncertainty",
    "within_bins",
    "aurc",
    "excess_aurc",
)
"""Parts of `measured`, in order."""
LEAST = 3
"""Problems that a bin must hold, so that its error is known with any one of them left out."""


def equal_mass(
    confidence: Float[np.ndarray, " row"], problem: Int[np.ndarray, " row"], n_bins: int
) -> Int[np.ndarray, " row"]:
    """Bin of each row, of about as many rows each; equal confidence is in one bin."""
    from scipy.stats import rankdata

    rank = (rankdata(confidence) - 0.5) / len(confidence)
    bins = np.unique(np.floor(rank * n_bins).astype(np.int64), return_inverse=True)[1]
    while bins.max() > 0:
        held = np.array([len(np.unique(problem[bins == each])) for each in range(bins.max() + 1)])
        small = int(held.argmin())
        if held[small] >= LEAST:
            break
        bins = bins - (bins >= max(small, 1))
    return bins


def measured(
    confidence: Float[np.ndarray, " row"],
    correct: Float[np.ndarray, " row"],
    problem: Int[np.ndarray, " row"],
    bins: Int[np.ndarray, " row"],
    n_widths: int,
) -> Float[np.ndarray, " measure"]:
    """Every part of `MEASURES`, of one set of rows and their bins."""
    n = len(correct)
    size = np.bincount(bins)
    filled = size > 0
    weight = size[filled] / n
    stated = np.bincount(bins, confidence)[filled] / size[filled]
    true = np.bincount(bins, correct)[filled] / size[filled]
    gap, rate = stated - true, correct.mean()
    brier = np.square(confidence - correct).mean()
    reliability = (weight * gap**2).sum()
    resolution = (weight * (true - rate) ** 2).sum()
    uncertainty = rate * (1 - rate)
    noise = (weight * bin_variance(correct, problem, bins)).sum()
    area, least = selective_area(confidence, 1 - correct)
    return np.array(
        [
            plain_ece(confidence, correct, n_widths),
            reliability - noise,
            brier,
            reliability,
            resolution,
            uncertainty,
            brier - (reliability - resolution + uncertainty),
            area,
            area - least,
        ]
    )


def plain_ece(
    confidence: Float[np.ndarray, " row"], correct: Float[np.ndarray, " row"], n_widths: int
) -> float:
    """Mean absolute gap over bins of equal width, weighted by their rows."""
    bins = np.minimum((confidence * n_widths).astype(np.int64), n_widths - 1)
    return float(np.abs(np.bincount(bins, confidence - correct)).sum() / len(correct))


def bin_variance(
    correct: Float[np.ndarray, " row"],
    problem: Int[np.ndarray, " row"],
    bins: Int[np.ndarray, " row"],
) -> Float[np.ndarray, " filled"]:
    """Variance of each filled bin's accuracy, rows of a problem being no independent evidence.

    With one row a problem it is ȳ(1 - ȳ)/(n - 1). NaN in a bin of a single problem.
    """
    size = np.bincount(bins)
    true = np.divide(np.bincount(bins, correct), size, out=np.zeros(len(size)), where=size > 0)
    pairs, cell = np.unique(bins * (problem.max() + 1) + problem, return_inverse=True)
    of = pairs // (problem.max() + 1)
    off = np.bincount(cell, correct - true[bins])
    n_problems = np.bincount(of, minlength=len(size))
    square = np.bincount(of, off**2, minlength=len(size))
    filled = size > 0
    groups = n_problems[filled].astype(np.float64)
    groups[groups == 1] = np.nan
    return square[filled] / size[filled] ** 2 * groups / (groups - 1)


def selective_risk(
    confidence: Float[np.ndarray, " row"], error: Float[np.ndarray, " row"]
) -> Float[np.ndarray, " row"]:
    """Error rate among the k most confident rows, k = 1 to all; mean over the orders of ties."""
    _, group = np.unique(-confidence, return_inverse=True)
    share = np.bincount(group, error) / np.bincount(group)
    return np.cumsum(share[np.sort(group)]) / np.arange(1, len(error) + 1)


def risk_at(
    confidence: Float[np.ndarray, " row"],
    error: Float[np.ndarray, " row"],
    coverage: Float[np.ndarray, " coverage"],
) -> Float[np.ndarray, " coverage"]:
    """Error rate among the most confident shares of rows, a part of the last row included."""
    counts = np.arange(1, len(error) + 1)
    errors = np.concatenate([[0.0], selective_risk(confidence, error) * counts])
    kept = coverage * len(error)
    return np.interp(kept, np.arange(len(errors)), errors) / kept


def selective_area(
    confidence: Float[np.ndarray, " row"], error: Float[np.ndarray, " row"]
) -> tuple[float, float]:
    """Area under the risk-coverage curve, and that of the best order, all errors last."""
    best = selective_risk(-error, error)
    return float(selective_risk(confidence, error).mean()), float(best.mean())
