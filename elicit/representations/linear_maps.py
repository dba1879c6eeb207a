"""Linear maps between two models' activations, fitted from sums over tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import CrossMoments
from elicit.representations.geometry import rotation

MAPS = ("identity", "shift", "orthogonal", "affine", "mean", "random")
"""In order of growing freedom; the last two are controls."""


@dataclass(frozen=True, eq=False)
class Affine:
    """y ≈ x A + b."""

    weight: Float[Tensor, "d_x d_y"]
    bias: Float[Tensor, " d_y"]

    def __call__(self, x: Float[Tensor, "*token d_x"]) -> Float[Tensor, "*token d_y"]:
        """Mapped activations, in the dtype of `x`."""
        return x @ self.weight.to(x) + self.bias.to(x)


def swapped(moments: CrossMoments) -> CrossMoments:
    """Moments with x and y swapped."""
    result = CrossMoments(len(moments.y.mean), len(moments.x.mean))
    result.x, result.y, result.scatter = moments.y, moments.x, moments.scatter.mT
    return result


def ridge_map(moments: CrossMoments, l2: float) -> Affine:
    """Ridge regression from x to y.

    `l2`: penalty, as a share of the mean variance of a dimension of x.
    """
    scatter = moments.x.scatter
    size = float(scatter.trace()) / len(scatter)
    eye = torch.eye(len(scatter), dtype=torch.float64)
    weight = torch.linalg.solve(scatter + l2 * size * eye, moments.scatter)
    return Affine(weight, moments.y.mean - moments.x.mean @ weight)


def error_of(moments: CrossMoments, affine: Affine) -> Tensor:
    """Sum of squared errors of a map over any pairs."""
    weight = affine.weight
    inner = moments.y.scatter.trace() - 2 * (weight * moments.scatter).sum()
    inner = inner + ((moments.x.scatter @ weight) * weight).sum()
    missed = moments.y.mean - affine(moments.x.mean)
    return inner + moments.n * missed.square().sum()


def choose_penalty(fit: CrossMoments, left_out: CrossMoments, tried: Sequence[float]) -> float:
    """Ridge penalty with the smallest validation error; ties go to the largest."""
    return min(
        sorted(tried, reverse=True), key=lambda l2: float(error_of(left_out, ridge_map(fit, l2)))
    )


def maps_of(moments: CrossMoments, *, l2: float, seed: int) -> dict[str, Affine]:
    """All maps of one site, fitted on the same pairs."""
    x, y = moments.x.mean, moments.y.mean
    eye = torch.eye(len(x), dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(eye.shape, generator=generator, dtype=torch.float64)

    def centred(weight: Tensor) -> Affine:
        return Affine(weight, y - x @ weight)

    return {
        "identity": Affine(eye, torch.zeros_like(y)),
        "shift": centred(eye),
        "orthogonal": centred(rotation(moments)),
        "affine": ridge_map(moments, l2),
        "mean": centred(torch.zeros_like(eye)),
        "random": centred(torch.linalg.qr(noise).Q),
    }
