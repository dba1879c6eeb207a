"""Activations of both models at labelled positions, with problems held out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.pair import ModelPair
from elicit.representations.errors import RepresentationError
from elicit.representations.labels import Labelled, read_labelled
from elicit.representations.places import sites_of
from elicit.representations.splits import split_problems
from elicit.runs import Execution
from elicit.sites import Site

MODELS = ("base", "post")
LEAST = 4
"""Smallest number of problems per label: fit, validation and test need different ones."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared:
    """Activations of both models, and which examples are held out."""

    pair: ModelPair
    labelled: Labelled
    sites: tuple[Site, ...]
    x: Float[Tensor, "model site example d_model"]
    held: Bool[Tensor, " example"]
    """Examples of the test problems."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each site."""
        return tuple(map(str, self.sites))

    @property
    def fit(self) -> Labelled:
        """Fit examples."""
        return self.labelled.take((~self.held).nonzero()[:, 0].tolist())

    @property
    def target(self) -> Int[Tensor, " example"]:
        """Labels of the test examples."""
        return self.labelled.target[self.held]

    @property
    def group(self) -> Int[Tensor, " example"]:
        """Problems of the test examples."""
        return self.labelled.group[self.held]


def prepare(
    pair: ModelPair,
    labelled: Labelled,
    *,
    sites: Sequence[Site | str] | None,
    test_share: float,
    seed: int,
    execution: Execution = Execution(),
) -> Prepared:
    """Validate inputs, split by problem, and read both models.

    Raises:
        SiteError: A model does not have a site.
        RepresentationError: The labels cannot be fitted and tested, or an activation is not finite.
    """
    labelled.check(least=LEAST)
    named = sites_of(pair, sites)
    held = split_problems(labelled.group, labelled.target, share=test_share, seed=seed)
    for subset, what in ((held, "test"), (~held, "fit")):
        missing = set(range(len(labelled.labels))) - set(labelled.target[subset].tolist())
        if missing:
            raise RepresentationError(
                f"the {what} problems have no example labelled {labelled.labels[min(missing)]!r}, "
                "because problems with that label have rarer ones too. Pass more problems, or "
                "another seed."
            )
    x = torch.stack(
        [
            read_labelled(
                getattr(pair, name),
                labelled,
                sites=named,
                pad_id=pair.alignment.pad_id,
                execution=execution,
            )
            for name in MODELS
        ]
    )
    return Prepared(pair=pair, labelled=labelled, sites=named, x=x, held=held)
