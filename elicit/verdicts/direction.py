"""Directions: the difference of mean states, and others of the same length to compare it with."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.edits import Edit, Steer, last
from elicit.rollouts.writing import Dose
from elicit.sites import Site
from elicit.verdicts.errors import VerdictError


def mean_difference(
    states: Float[Tensor, "site example d_model"],
    positive: Bool[Tensor, " example"],
    sites: Sequence[Site],
) -> Float[Tensor, "site d_model"]:
    """Mean state of the positive examples minus that of the others, at every site.

    Args:
        states: Activations.
        positive: Which examples are positive.
        sites: Name of each site.

    Raises:
        VerdictError: All states are alike at a site.

    Source: difference of means, as contrastive activation addition (Panickssery et al. 2023,
        arXiv:2312.06681) takes it at one token.
    """
    found = states[:, positive].mean(dim=1) - states[:, ~positive].mean(dim=1)
    flat = (found.norm(dim=-1) <= 1e-12 * states.norm(dim=-1).mean(dim=1)).nonzero()[:, 0]
    if len(flat):
        raise VerdictError(
            f"positive and negative prompts leave the same mean state at {sites[int(flat[0])]}, so "
            "there is no direction between them. Take that site out, or let the prompts differ "
            "before their last token."
        )
    return found


def shuffled_places(vector: Float[Tensor, " d_model"], *, seed: int) -> Float[Tensor, " d_model"]:
    """A direction with its own entries in other places: as long, with outliers as large.

    A difference of means under shuffled labels would not do: what is left of it is mostly the real
    direction, by the labels that chance has left in place, and brought to its length it is that.

    Args:
        vector: The direction.
        seed: Of the shuffling.
    """
    generator = torch.Generator().manual_seed(seed)
    return vector[torch.randperm(len(vector), generator=generator)]


def random_directions(
    vector: Float[Tensor, " d_model"], n: int, *, seed: int
) -> Float[Tensor, "draw d_model"]:
    """Directions drawn uniformly, each as long as a given one.

    Args:
        vector: Whose length they have.
        n: How many.
        seed: Of the drawing.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(n, len(vector), generator=generator, dtype=torch.float64)
    return drawn / drawn.norm(dim=-1, keepdim=True) * vector.double().norm()


def steered(site: Site, vector: Float[Tensor, " d_model"]) -> Dose:
    """A vector added at the last token of the prompt, by the strength of each row.

    Args:
        site: Where.
        vector: What is added at strength 1.
    """
    held = vector.float()

    def dose(strength: Float[Tensor, " row"]) -> Sequence[Edit]:
        return [Steer(site, held, scale=strength, where=last())]

    return dose


def chosen(site: Site, vectors: Float[Tensor, "arm d_model"]) -> Dose:
    """One of several vectors added at the last token of the prompt, by its number.

    The number stands in for a strength, so that rows of all vectors share their batches.

    Args:
        site: Where.
        vectors: What is added.
    """
    held = vectors.float()

    def dose(number: Float[Tensor, " row"]) -> Sequence[Edit]:
        # The check that edits follow the strength asks for one number beyond the last.
        return [Steer(site, held[number.long() % len(held)], where=last())]

    return dose
