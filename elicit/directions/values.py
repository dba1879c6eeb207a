"""Direction values: one vector at one site, and a set over sites with its reliability."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.directions.errors import DirectionError
from elicit.edits import Steer, Where
from elicit.results import Estimate, Result
from elicit.sites import Site, parse_site


@dataclass(frozen=True, eq=False, kw_only=True)
class Direction(Result):
    """One steering vector at one site of a model."""

    vector: Float[Tensor, " width"]
    """Unnormalised vector: scale 1 adds the difference between the two sides."""
    site: Site
    """Where it was estimated and is added."""
    model: str
    """Model it was estimated on."""
    model_digest: str
    """Digest of that model's weights."""
    how: str
    """Estimator."""
    position: str
    """Tokens it was estimated at."""
    norm: float
    """Norm of the vector."""
    resid_norm: float
    """Mean norm of the activations it was estimated from, the scale for `norm`; NaN if none were
    read."""
    n: int
    """Number of examples it was estimated on."""

    def __post_init__(self) -> None:
        """Refuse a vector that is zero or not finite."""
        super().__post_init__()
        if not bool(self.vector.isfinite().all()):
            raise DirectionError(
                f"the vector at {self.site} has entries that are not finite, so it cannot steer. "
                "Find where they come from."
            )
        if not bool(self.vector.any()):
            raise DirectionError(
                f"the vector at {self.site} has norm 0, so steering with it would look like a null "
                "result. Pass a nonzero vector."
            )

    def to_edit(self, scale: float | Float[Tensor, " row"], where: Where) -> Steer:
        """Edit that adds the vector at its site.

        Args:
            scale: Multiple of the vector; one number per row of a batch makes a dose curve.
            where: Tokens that are steered. A direction read at the prompt's last token says little
                about others: `last()` adds it where it was read.
        """
        return Steer(self.site, self.vector, scale=scale, where=where)

    def cosine(self, other: "Direction") -> float:
        """Cosine of the angle to another direction.

        Raises:
            DirectionError: The widths differ.
        """
        if len(self.vector) != len(other.vector):
            raise DirectionError(
                f"the vector at {self.site} has {len(self.vector)} entries and that at "
                f"{other.site} {len(other.vector)}, so there is no angle between them. Compare "
                "directions of equal width."
            )
        return torch.cosine_similarity(self.vector.double(), other.vector.double(), dim=0).item()


@dataclass(frozen=True, eq=False, kw_only=True)
class DirectionSet(Result):
    """Directions of one contrast at several sites, with their reliability.

    A high `auroc` shows that the direction separates the two sides, not that it has an effect: only
    steering (`elicitation.dose_curve`) shows that.
    """

    how: str
    """Estimator of the directions."""
    model: str
    """Model they were estimated on."""
    model_digest: str
    """Digest of that model's weights."""
    position: str
    """Token read in each prompt."""
    site: tuple[str, ...]
    """Name of each site."""
    layer: Int[Tensor, " site"]
    """Layer of each site."""
    vector: Float[Tensor, "site width"]
    """Unnormalised direction at each site."""
    norm: Float[Tensor, " site"]
    """Norm of the direction."""
    resid_norm: Float[Tensor, " site"]
    """Mean norm of the activations it was estimated from."""
    explained: Float[Tensor, " site"]
    """Share of the squared paired differences along the direction, in [0, 1]."""
    reliability: Float[Tensor, " site"]
    """Cosine between the directions of two halves of the problems, mean over random splits; near 0
    for noise, 1 if both halves agree. With few problems noise reaches far from 0."""
    reliability_range: Float[Tensor, "end site"]
    """Smallest and largest cosine among the splits: a range, not an interval."""
    auroc: Annotated[Estimate, " site"]
    """Probability that a held-out positive prompt projects further along the direction than a
    negative one; 0.5 is chance. Intervals are simultaneous over sites and not clipped at 1."""
    n_pairs: int
    """Pairs that the directions were estimated on."""
    n_held_out: int
    """Held-out problems of the AUROC."""
    n_shifted: int
    """Pairs in which the read position differs between the two prompts, so that the difference
    includes it."""

    def __len__(self) -> int:
        """Number of sites."""
        return len(self.site)

    def at(self, site: Site) -> Direction:
        """The direction at one site.

        Raises:
            DirectionError: The site is not in this set.
        """
        if str(site) not in self.site:
            raise DirectionError(
                f"no direction was estimated at {site}, only at {', '.join(self.site)}. Pass one "
                "of these."
            )
        index = self.site.index(str(site))
        return Direction(
            provenance=self.provenance,
            vector=self.vector[index],
            site=parse_site(self.site[index]),
            model=self.model,
            model_digest=self.model_digest,
            how=self.how,
            position=self.position,
            norm=self.norm[index].item(),
            resid_norm=self.resid_norm[index].item(),
            n=self.n_pairs,
        )
