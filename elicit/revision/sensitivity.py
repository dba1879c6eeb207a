"""Sensitivity of the deep-thinking ratio to the convention's cut-offs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.revision.convention import DepthConvention, Unit
from elicit.revision.depth import settling_depth
from elicit.revision.errors import RevisionError
from elicit.revision.settling import Settling, possible_difference
from elicit.stats import Inference, joint_estimate, mean_by_problem

THRESHOLDS = (0.25, 0.5, 0.75)
RHOS = (0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sensitivity(Result):
    """Deep-thinking ratios over a band of conventions, on the same divergences."""

    convention: DepthConvention
    """Convention shared by all settings except threshold and rho."""
    unit: Unit
    """Unit of the thresholds."""
    model: tuple[str, ...]
    """The models: base, post."""
    threshold: Float[Tensor, " threshold"]
    """Divergence up to which a layer counts as settled."""
    rho: Float[Tensor, " rho"]
    """Share of the layers after which settling is deep."""
    dtr: Annotated[Estimate, "threshold rho model"]
    """Share of tokens that settle deep, over equally weighted problems;
    simultaneous over the band."""
    dtr_diff: Annotated[Estimate, "threshold rho"]
    """Ratio, post minus base on the same tokens; simultaneous over the band."""

    @property
    def sign(self) -> int:
        """1 or -1 if every interval in the band excludes 0 on that side, else 0."""
        if bool((self.dtr_diff.low > 0).all()):
            return 1
        return -1 if bool((self.dtr_diff.high < 0).all()) else 0


def sensitivity(
    settling: Settling,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    rhos: Sequence[float] = RHOS,
    source: str | None = None,
    inference: Inference = Inference(),
) -> Sensitivity:
    """Deep-thinking ratios over a band of thresholds and rhos; no model is run.

    Args:
        settling: Settling depths; unit, reading and norm are those of its convention.
        thresholds: The paper's g, in the unit of the convention.
        rhos: The paper's ρ.
        source: Source of texts; None takes all together.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        RevisionError: A threshold or rho is out of range, or leaves no layer below deep.

    Source: Chen et al. 2026, arXiv:2602.13517: the sweep of g over .25, .5, .75 and of ρ over .8,
        .85, .9, .95.
    """
    kept = torch.ones_like(settling.source_of, dtype=torch.bool)
    if source is not None:
        if source not in settling.source:
            raise RevisionError(
                f"there are no texts of {source!r}. Pass one of "
                f"{', '.join(settling.source)}, or None."
            )
        kept = settling.source_of == settling.source.index(source)
    present, group = settling.problem_of[kept].unique(return_inverse=True)
    jsd = settling.jsd[:, :, kept].transpose(0, 1)
    identical = bool(torch.equal(settling.jsd[0], settling.jsd[1]))
    ratios = []
    for threshold in thresholds:
        band = [
            dataclasses.replace(settling.convention, threshold=threshold, rho=rho) for rho in rhos
        ]
        starts = [convention.deep_from(settling.n_layers) for convention in band]
        depth = settling_depth(jsd, band[0])  # rho has no part in it
        deep = torch.stack([depth >= start for start in starts])
        ratios.append(mean_by_problem(deep, group, len(present)))
    # [problem threshold rho model]
    ratio = torch.stack(ratios).movedim(-1, 0)
    inference = dataclasses.replace(inference, level=settling.level)
    return Sensitivity(
        convention=settling.convention,
        unit=settling.convention.unit,
        model=settling.model,
        threshold=torch.tensor(list(thresholds), dtype=torch.float64),
        rho=torch.tensor(list(rhos), dtype=torch.float64),
        dtr=joint_estimate(ratio, inference=inference, proportion=True),
        dtr_diff=joint_estimate(
            ratio[..., 1] - ratio[..., 0], inference=inference, span=None if identical else 1.0
        ).map(possible_difference),
        provenance=settling.provenance,
    )
