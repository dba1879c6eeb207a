"""LEACE: the least-squares change after which no linear probe can predict a label."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.directions.errors import DirectionError
from elicit.edits import Shift, Where
from elicit.results import Result, digest_tensors
from elicit.sites import Site

_TINY = 1e-8
"""Largest correlation with a label that counts as rounding and is not erased."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Eraser(Result):
    """Affine map that removes all linear information about a label: x - out (into·(x - mean))."""

    mean: Float[Tensor, " width"]
    """Mean activation, which the map leaves unchanged."""
    into: Float[Tensor, "rank width"]
    """Read directions: one row per erased dimension."""
    out: Float[Tensor, "rank width"]
    """Vector subtracted per unit read; an oblique projection where activations are correlated."""
    n: int
    """Rows it was fitted on."""

    def apply(self, x: Float[Tensor, "*row width"]) -> Float[Tensor, "*row width"]:
        """Activations with the label erased, in their own dtype.

        Args:
            x: Activations of the site that the map was fitted on.

        Raises:
            DirectionError: Widths differ.
        """
        if x.shape[-1] != len(self.mean):
            raise DirectionError(
                f"activations have {x.shape[-1]} entries and the eraser {len(self.mean)}, so they "
                "come from another site or model. Apply the eraser where it was fitted."
            )
        return (x.to(self.mean.dtype) + self.change(x)).to(x.dtype)

    def change(self, x: Float[Tensor, "*row width"]) -> Float[Tensor, "*row width"]:
        """Change that erasure makes to activations, in float64.

        Args:
            x: Activations of the site that the map was fitted on.
        """
        mean, into, out = (part.to(x.device) for part in (self.mean, self.into, self.out))
        centred = x.to(mean.dtype) - mean
        # Row by row: the rounding of a matrix product may depend on the rest of the batch.
        taken = [
            (centred * one).sum(dim=-1, keepdim=True) * two
            for one, two in zip(into, out, strict=True)
        ]
        return -torch.stack(taken).sum(dim=0)

    def to_edit(
        self, site: Site, *, where: Where, scale: float | Float[Tensor, " row"] = 1.0
    ) -> Shift:
        """Edit that erases the label from a site's activations during the forward pass.

        Args:
            site: Where the map was fitted.
            where: Tokens that are edited; the map reflects the tokens it was fitted on.
            scale: 0 leaves activations bitwise unchanged, 1 erases. One number per row of a batch
                makes a dose curve.
        """
        return Shift(site, _Erased(self), width=len(self.mean), scale=scale, where=where)


@dataclass(frozen=True, eq=False)
class _Erased:
    """Change made by erasure, as an edit function with a digest."""

    eraser: Eraser

    @property
    def digest(self) -> str:
        """SHA-256 that distinguishes its texts from those of other edits."""
        own = self.eraser
        return digest_tensors({"mean": own.mean, "into": own.into, "out": own.out})

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """Change of each token's activation."""
        return self.eraser.change(x)


def leace(x: Float[Tensor, "row width"], label: Float[Tensor, "row label"]) -> Eraser:
    """Affine map that erases a label from activations with the least squared change.

    Afterwards the label is uncorrelated with every entry, so no linear probe predicts it on these
    rows better than a constant; no affine map with this property has a smaller mean squared change,
    in any norm. Fitted in float64.

    Args:
        x: One activation per row; any site.
        label: Numeric labels: one column for two classes, one column per class for more.

    Raises:
        DirectionError: There are fewer than 2 rows, a value is not finite, rows do not match, or
            the label does not correlate with the activations.

    Source: Belrose et al. 2023, arXiv:2306.03819, Theorem 4.3: x - W⁺PW(x - E[x]) with W the
        whitening and P the projection on the columns of W·Cov(x, label).
    """
    if len(x) != len(label) or len(x) < 2:
        raise DirectionError(
            f"there are {len(x)} activations and {len(label)} labels, which cannot be "
            "matched. Pass one label per activation, and at least 2."
        )
    states, z = x.double().cpu(), label.double().cpu()
    if not bool(states.isfinite().all() and z.isfinite().all()):
        raise DirectionError(
            "some activation or label is not finite, so there is no covariance. Leave those rows "
            "out."
        )
    mean = states.mean(0)
    centred, z = states - mean, z - z.mean(0)
    spread = z.square().mean(0).sqrt()
    if not bool((spread > 0).any()):
        raise DirectionError(
            f"all {len(z)} labels are equal, so there is nothing to erase. Pass rows of both "
            "classes."
        )
    z = z[:, spread > 0] / spread[spread > 0]
    size, basis = torch.linalg.eigh(centred.T @ centred / len(x))
    # Directions without variance carry no label, and whitening would amplify their rounding.
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
