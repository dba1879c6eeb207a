"""Least-squares erasure: the smallest change after which no linear probe finds a label."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.directions.errors import DirectionError
from elicit.edits import Shift, Where
from elicit.results import Result, digest_tensors
from elicit.sites import Site

_TINY = 1e-8
"""Correlation of a label with any direction that is rounding and not erased."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Eraser(Result):
    """An affine map after which a label cannot be read linearly: x - out (into·(x - mean))."""

    mean: Float[Tensor, " width"]
    """Mean activation, which the map leaves where it is."""
    into: Float[Tensor, "rank width"]
    """What is read: one row for each dimension that is erased."""
    out: Float[Tensor, "rank width"]
    """What is taken away for each unit read; not orthogonal to what stays, where activations are
    correlated."""
    n: int
    """Rows it was fitted on."""

    def apply(self, x: Float[Tensor, "*row width"]) -> Float[Tensor, "*row width"]:
        """Activations with the label erased, in their own dtype.

        Args:
            x: Activations of the site that the map was fitted on.

        Raises:
            DirectionError: They have another width.
        """
        if x.shape[-1] != len(self.mean):
            raise DirectionError(
                f"activations have {x.shape[-1]} entries and the eraser {len(self.mean)}, so they "
                "are of another site or model. Apply it where it was fitted."
            )
        return (x.to(self.mean.dtype) + self.change(x)).to(x.dtype)

    def change(self, x: Float[Tensor, "*row width"]) -> Float[Tensor, "*row width"]:
        """What erasing adds to activations, in double precision.

        Args:
            x: Activations of the site that the map was fitted on.
        """
        mean, into, out = (part.to(x.device) for part in (self.mean, self.into, self.out))
        centred = x.to(mean.dtype) - mean
        # Each row by itself: a product of matrices may round by what else is in its batch.
        taken = [
            (centred * one).sum(dim=-1, keepdim=True) * two
            for one, two in zip(into, out, strict=True)
        ]
        return -torch.stack(taken).sum(dim=0)

    def to_edit(
        self, site: Site, *, where: Where, scale: float | Float[Tensor, " row"] = 1.0
    ) -> Shift:
        """The edit that erases the label from a site's activations inside a forward.

        Args:
            site: Where the map was fitted.
            where: For which tokens; the label is erased as it lies at those it was fitted on.
            scale: How far to go: 0 leaves the bits as they are, 1 erases. One number for each row
                of a batch makes a dose curve.
        """
        return Shift(site, _Erased(self), width=len(self.mean), scale=scale, where=where)


@dataclass(frozen=True, eq=False)
class _Erased:
    """What erasing adds, as an edit's function that texts can be told apart by."""

    eraser: Eraser

    @property
    def digest(self) -> str:
        """What tells its texts from those of other edits."""
        own = self.eraser
        return digest_tensors({"mean": own.mean, "into": own.into, "out": own.out})

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """What erasing adds to each token's activation."""
        return self.eraser.change(x)


def leace(x: Float[Tensor, "row width"], label: Float[Tensor, "row label"]) -> Eraser:
    """The map that erases a label from activations and changes them least.

    Afterwards the label is uncorrelated with every entry, so that no linear probe predicts it on
    these rows better than a constant; among affine maps with this property none has a smaller mean
    squared change, in whatever norm. It is fitted in double precision.

    Args:
        x: Activations, one a row; any site.
        label: What is erased, as numbers: one column for two classes, one a class for more.

    Raises:
        DirectionError: There are fewer than 2 rows, some value is not finite, the rows do not
            match, or the label does not correlate with the activations.

    Source: Belrose et al. 2023, arXiv:2306.03819, Theorem 4.3: x - W⁺PW(x - E[x]) with W the
        whitening and P the projection on the columns of W·Cov(x, label).
    """
    if len(x) != len(label) or len(x) < 2:
        raise DirectionError(
            f"there are {len(x)} activations and {len(label)} labels, so what belongs to what is "
            "not known. Pass one label for each activation, and at least 2."
        )
    states, z = x.double().cpu(), label.double().cpu()
    if not bool(states.isfinite().all() and z.isfinite().all()):
        raise DirectionError(
            "some activation or label is not finite, so no covariance can be taken. Leave those "
            "rows out."
        )
    mean = states.mean(0)
    centred, z = states - mean, z - z.mean(0)
    spread = z.square().mean(0).sqrt()
    if not bool((spread > 0).any()):
        raise DirectionError(
            f"all {len(z)} labels are the same, so there is nothing to erase. Pass rows of both "
            "sides."
        )
    z = z[:, spread > 0] / spread[spread > 0]
    size, basis = torch.linalg.eigh(centred.T @ centred / len(x))
    # Directions without variance hold no label, and whitening them would blow rounding up.
    held = size > size[-1] * len(size) * torch.finfo(torch.float64).eps
    root, basis = size[held].sqrt(), basis[:, held]
    cross = (centred @ basis / root).T @ z / len(x)
    left, correlation, _ = torch.linalg.svd(cross, full_matrices=False)
    left = left[:, correlation > _TINY]
    if not left.shape[1]:
        raise DirectionError(
            "the label does not correlate with any entry of the activations, so there is nothing "
            "to erase and a comparison would look like a null result. Pass another site or label."
        )
    return Eraser(mean=mean, into=(basis / root @ left).T, out=(basis * root @ left).T, n=len(x))
