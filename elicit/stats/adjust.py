"""P-values of a family, adjusted so that the family may be read at one level."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike


def holm(p: ArrayLike) -> Float[np.ndarray, " test"]:
    """Holm-adjusted p-values: reject those at most α and any false rejection has chance at most α.

    Args:
        p: P-values of the family, each in [0, 1].

    Raises:
        ValueError: `p` is empty, not one column, or holds something that is no p-value.

    Source: Holm 1979; valid under any dependence.
    """
    p = _p_values(p)
    order = np.argsort(p, kind="stable")
    remaining = np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * remaining), 1)
    return adjusted


def benjamini_hochberg(p: ArrayLike) -> Float[np.ndarray, " test"]:
    """BH-adjusted p-values: reject those at most q and a share of at most q of them is false.

    Args:
        p: P-values of the family, each in [0, 1].

    Raises:
        ValueError: `p` is empty, not one column, or holds something that is no p-value.

    Source: Benjamini & Hochberg 1995; valid under independence or positive dependence.
    """
    p = _p_values(p)
    order = np.argsort(p, kind="stable")[::-1]
    scaled = p[order] * (len(p) / np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1)
    return adjusted


def _p_values(p: ArrayLike) -> np.ndarray:
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(
            f"p has shape {values.shape}, but a family of tests is one column with at least one "
            "p-value, and its size sets the correction. Pass a single flat list."
        )
    # Written so that a NaN, which compares false with everything, is refused too.
    if not np.all((values >= 0) & (values <= 1)):
        bad = values[~((values >= 0) & (values <= 1))][0]
        raise ValueError(
            f"p holds {bad}, which is no probability, so the family cannot be ranked. Pass "
            "p-values in [0, 1], and leave out tests that were not run."
        )
    return values
