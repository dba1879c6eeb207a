"""Directions: one vector at one site, and those of many sites with how far they can be trusted."""

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
    """One vector at one site of a model, ready to be added there."""

    vector: Float[Tensor, " width"]
    """The vector as it was found, not normed: scale 1 adds what the two sides differ by."""
    site: Site
    """Where it was found, and where it is added."""
    model: str
    """Model it was found on."""
    model_digest: str
    """Digest of that model's weights."""
    how: str
    """How it was found."""
    position: str
    """Tokens it was found at."""
    norm: float
    """Length of the vector."""
    resid_norm: float
    """Mean length of the activations that it was found in, by which the norm is to be judged; NaN
    where none were read."""
    n: int
    """Examples that it was found on."""

    def __post_init__(self) -> None:
        """Refuse a vector that points nowhere."""
        super().__post_init__()
        if not bool(self.vector.isfinite().all()):
            raise DirectionError(
                f"the vector at {self.site} has entries that are not finite, so nothing could be "
                "steered by it. Find where they come from."
            )
        if not bool(self.vector.any()):
            raise DirectionError(
                f"the vector at {self.site} has norm 0, so it points nowhere and steering by it "
                "would look like a null result. Pass another one."
            )

    def to_edit(self, scale: float | Float[Tensor, " row"], where: Where) -> Steer:
        """The edit that adds the vector at its site.

        Args:
            scale: How many times; one number for each row of a batch makes a dose curve.
            where: For which tokens. A direction read at the prompt's last token says little about
                others: `last()` adds it where it was found.
        """
        return Steer(self.site, self.vector, scale=scale, where=where)

    def cosine(self, other: "Direction") -> float:
        """Cosine of the angle to another direction.

        Args:
            other: Of the same width.

        Raises:
            DirectionError: The widths differ.
        """
        if len(self.vector) != len(other.vector):
            raise DirectionError(
                f"the vector at {self.site} has {len(self.vector)} entries and that at "
                f"{other.site} {len(other.vector)}, so there is no angle between them. Compare "
                "directions of one width."
            )
        return torch.cosine_similarity(self.vector.double(), other.vector.double(), dim=0).item()


@dataclass(frozen=True, eq=False, kw_only=True)
class DirectionSet(Result):
    """One direction a site from the same contrast, with what tells a found one from noise.

    A high `auroc` says that the two sides can be told apart along the direction, not that it does
    anything: only steering (`elicitation.dose_curve`) says that.
    """

    how: str
    """How the directions were found."""
    model: str
    """Model they were found on."""
    model_digest: str
    """Digest of that model's weights."""
    position: str
    """Token of each prompt that was read."""
    site: tuple[str, ...]
    """Name of each site."""
    layer: Int[Tensor, " site"]
    """Layer of each site."""
    vector: Float[Tensor, "site width"]
    """Direction at each site, as it was found."""
    norm: Float[Tensor, " site"]
    """Length of the direction."""
    resid_norm: Float[Tensor, " site"]
    """Mean length of the activations that it was found in."""
    explained: Float[Tensor, " site"]
    """Share of the pairs' squared differences that lies along the direction, in [0, 1]."""
    reliability: Float[Tensor, " site"]
    """Cosine between the directions of two halves of the problems, mean over random splits; near 0
    for noise, 1 where any half would do. With few problems noise reaches far from 0."""
    reliability_range: Float[Tensor, "end site"]
    """Least and largest cosine among the splits; a range, no interval."""
    auroc: Annotated[Estimate, " site"]
    """Chance that a held-out positive prompt projects further along the direction than a held-out
    negative one; 0.5 is chance. Intervals hold jointly over sites and are never clipped at 1."""
    n_pairs: int
    """Pairs that the directions were found on."""
    n_held_out: int
    """Problems that the AUROC rests on."""
    n_shifted: int
    """Pairs whose token stands at another distance from the start on either side, so that its
    position is part of the difference."""

    def __len__(self) -> int:
        """Number of sites."""
        return len(self.site)

    def at(self, site: Site) -> Direction:
        """The direction at one site.

        Args:
            site: One of those it was asked for.

        Raises:
            DirectionError: No direction was looked for there.
        """
        if str(site) not in self.site:
            raise DirectionError(
                f"no direction was looked for at {site}; there are {', '.join(self.site)}. Pass "
                "one of these."
            )
        place = self.site.index(str(site))
        return Direction(
            provenance=self.provenance,
            vector=self.vector[place],
            site=parse_site(self.site[place]),
            model=self.model,
            model_digest=self.model_digest,
            how=self.how,
            position=self.position,
            norm=self.norm[place].item(),
            resid_norm=self.resid_norm[place].item(),
            n=self.n_pairs,
        )
