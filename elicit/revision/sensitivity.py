"""How much a deep-thinking ratio owes to the numbers chosen for its convention."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.results import Result
from elicit.revision.convention import DepthConvention, Unit
from elicit.revision.depth import settling_depth
from elicit.revision.errors import RevisionError
from elicit.revision.settling import Settling
from elicit.revision.summing import by_problem, over_problems
from elicit.stats import Inference

THRESHOLDS = (0.25, 0.5, 0.75)
RHOS = (0.8, 0.85, 0.9, 0.95)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sensitivity(Result):
    """Deep-thinking ratios over a band of conventions, on the same divergences."""

    convention: DepthConvention
    """The convention that all others share but for threshold and rho."""
    unit: Unit
    """Unit of the thresholds."""
    model: tuple[str, ...]
    """The models: base, post."""
    threshold: Float[Tensor, " threshold"]
    """Divergence up to which a layer counts as settled."""
    rho: Float[Tensor, " rho"]
    """Share of the layers after which settling is deep."""
    dtr: Float[Tensor, "threshold rho model"]
    """Share of tokens that settle deep; problems count alike."""
    dtr_low: Float[Tensor, "threshold rho model"]
    """Lower end, jointly over everything here."""
    dtr_high: Float[Tensor, "threshold rho model"]
    """Upper end, jointly over everything here."""
    dtr_diff: Float[Tensor, "threshold rho"]
    """Ratio in post minus that in base, on the same tokens."""
    dtr_diff_low: Float[Tensor, "threshold rho"]
    """Lower end, jointly over the band."""
    dtr_diff_high: Float[Tensor, "threshold rho"]
    """Upper end, jointly over the band."""

    @property
    def sign(self) -> int:
        """1 or -1 if every difference in the band is clear of 0 on that side, else 0."""
        if bool((self.dtr_diff_low > 0).all()):
            return 1
        return -1 if bool((self.dtr_diff_high < 0).all()) else 0


def sensitivity(
    found: Settling,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    rhos: Sequence[float] = RHOS,
    source: str | None = None,
    inference: Inference = Inference(),
) -> Sensitivity:
    """Deep-thinking ratios over a band of thresholds and rhos; no model is run.

    Args:
        found: Divergences that were read; unit, reading and norm are those of its convention.
        thresholds: The paper's g, in the unit of the convention.
        rhos: The paper's ρ.
        source: Which source of traces; all together if None.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        RevisionError: A threshold or rho is out of range, or leaves no layer below deep.

    Source: Chen et al. 2026, arXiv:2602.13517: the sweep of g over .25, .5, .75 and of ρ over .8,
        .85, .9, .95.
    """
    kept = torch.ones_like(found.source_of, dtype=torch.bool)
    if source is not None:
        if source not in found.source:
            raise RevisionError(
                f"there are no traces of {source!r}, so there is no ratio of them. Pass one of "
                f"{', '.join(found.source)}, or None."
            )
        kept = found.source_of == found.source.index(source)
    own, group = found.problem_of[kept].unique(return_inverse=True)
    jsd = found.jsd[:, :, kept].transpose(0, 1)
    band = [
        [dataclasses.replace(found.convention, threshold=threshold, rho=rho) for rho in rhos]
        for threshold in thresholds
    ]
    late = [[each.deep_from(found.n_layers) for each in line] for line in band]
    shares = []
    for line, starts in zip(band, late, strict=True):
        depth = settling_depth(jsd, line[0])  # rho has no part in it
        shares.append([by_problem((depth >= start).double(), group, len(own)) for start in starts])
    each = torch.stack([torch.stack(line) for line in shares])
    options = {"level": found.level, "n_resamples": inference.n_resamples, "seed": inference.seed}
    dtr = over_problems(each, **options)
    diff = over_problems(each[:, :, 1] - each[:, :, 0], **options)
    return Sensitivity(
        convention=found.convention,
        unit=found.convention.unit,
        model=found.model,
        threshold=torch.tensor(list(thresholds), dtype=torch.float64),
        rho=torch.tensor(list(rhos), dtype=torch.float64),
        dtr=dtr[0],
        dtr_low=dtr[1],
        dtr_high=dtr[2],
        dtr_diff=diff[0],
        dtr_diff_low=diff[1],
        dtr_diff_high=diff[2],
        provenance=found.provenance,
    )
