"""Agreement of gradient-based scores with exact patching effects."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from elicit.patching.errors import PatchError


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of approximate scores with exact effects on the same cells."""

    spearman: float
    """Rank correlation over cells; NaN if either side is constant."""
    recall: float
    """Top-k recall: share of the cells with the largest exact effects that have the largest scores;
    NaN if every exact effect is 0."""
    top: int
    """k of `recall`; below the requested number if fewer cells have an effect."""
    n_cells: int
    """Cells compared."""
    signed: bool
    """Whether signed values were ranked, else magnitudes. `recall` always uses magnitudes."""


def agreement(
    score: Float[Tensor, "*cell"],
    exact: Float[Tensor, "*cell"],
    *,
    top: int = 10,
    signed: bool = True,
) -> Agreement:
    """Rank correlation and top-k recall of approximate scores against exact effects.

    Args:
        score: Approximate score of each cell.
        exact: Effect of patching it. Cells that are NaN in either are left out.
        top: k of recall, at least 1.
        signed: Whether the score is signed.

    Raises:
        PatchError: `top` is below 1, or fewer than two cells can be compared.
    """
    from scipy.stats import rankdata

    if top < 1:
        raise PatchError(f"top is {top}, and recall needs at least 1 cell. Pass 1 or more.")
    known = (score.isfinite() & exact.isfinite()).cpu()
    guess = score.detach().cpu()[known].double().numpy()
    truth = exact.detach().cpu()[known].double().numpy()
    if len(truth) < 2:
        raise PatchError(
            f"only {len(truth)} of {known.numel()} cells have both a score and an exact effect, "
            "and ranks need at least 2. Score more sites or positions."
        )
    size = np.abs(truth)
    n_top = min(top, int((size > 0).sum()))
    ranks = [rankdata(values if signed else np.abs(values)) for values in (guess, truth)]
    spread = [float(np.ptp(each)) for each in ranks]
    spearman = float(np.corrcoef(*ranks)[0, 1]) if min(spread) > 0 else float("nan")
    best, found = (set(np.argsort(-v, kind="stable")[:n_top].tolist())
                   for v in (size, np.abs(guess)))  # fmt: skip
    return Agreement(
        spearman=spearman,
        recall=len(best & found) / n_top if n_top else float("nan"),
        top=n_top,
        n_cells=len(truth),
        signed=signed,
    )
