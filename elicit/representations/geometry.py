"""Similarity of two sets of vectors of the same tokens, computed from sums over tokens.

Every measure is a function of a few sums, so no tokens × tokens matrix is ever formed, and a
token's influence on a measure is its derivative with respect to the token's weight.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture import CrossMoments

NAMES = ("cka", "cka_debiased", "procrustes", "distance", "distance_centred", "mean_shift")


@dataclass(frozen=True, eq=False, kw_only=True)
class Fourth:
    """Sums over tokens of products of squared norms of centred vectors."""

    xx: Tensor
    yy: Tensor
    xy: Tensor


@dataclass(frozen=True, eq=False)
class Alike:
    """Similarity measures of one site, and the influence of every token on each."""

    moments: CrossMoments
    fourth: Fourth

    @property
    def variances(self) -> tuple[Tensor, Tensor]:
        """Sum of squared deviations of both sides."""
        return self.moments.x.scatter.trace(), self.moments.y.scatter.trace()

    @property
    def shift(self) -> Float[Tensor, " d_model"]:
        """Mean of y minus mean of x."""
        return self.moments.y.mean - self.moments.x.mean

    @cached_property
    def rotation(self) -> Float[Tensor, "d_model d_model"]:
        """Orthogonal Q that minimises ‖x Q - y‖, both centred (Procrustes)."""
        return rotation(self.moments)

    @cached_property
    def values(self) -> Float[Tensor, " measure"]:
        """All measures, in the order of `NAMES`."""
        x, y, cross = self.moments.x.scatter, self.moments.y.scatter, self.moments.scatter
        a, b = self.variances
        unit = (a + b) / 2
        centred = a + b - 2 * cross.trace()
        nuclear = torch.linalg.svdvals(cross).sum()
        shift = self.shift.square().sum()
        return torch.stack(
            [
                cross.square().sum() / (x.square().sum() * y.square().sum()).sqrt(),
                self._hsic("xy") / (self._hsic("xx") * self._hsic("yy")).sqrt(),
                (a + b - 2 * nuclear) / unit,
                (centred + self.moments.n * shift) / unit,
                centred / unit,
                (self.moments.n * shift / unit).sqrt(),
            ]
        )

    def _sides(self, pair: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scatter, both variances and the fourth-order sum of two sides."""
        a, b = self.variances
        return {
            "xx": (self.moments.x.scatter, a, a, self.fourth.xx),
            "yy": (self.moments.y.scatter, b, b, self.fourth.yy),
            "xy": (self.moments.scatter, a, b, self.fourth.xy),
        }[pair]

    def _hsic(self, pair: str) -> Tensor:
        """N (n - 3) times the unbiased HSIC of two linear kernels.

        Source: Song et al. 2012, eq. 5. It is invariant to shifts, so with centred vectors each
            of its three terms is a sum over tokens.
        """
        n = self.moments.n
        scatter, a, b, fourth = self._sides(pair)
        joined = a * b / ((n - 1) * (n - 2))
        return scatter.square().sum() - fourth + joined - 2 * fourth / (n - 2)

    def parts(
        self, x: Float[Tensor, "token d_model"], y: Float[Tensor, "token d_model"]
    ) -> Float[Tensor, "token measure"]:
        """Derivative of every measure by each token's weight, at a fixed number of tokens.

        Source: The infinitesimal jackknife (Jaeckel 1972).
        """
        x, y = x.double() - self.moments.x.mean, y.double() - self.moments.y.mean
        sx, sy, cross = self.moments.x.scatter, self.moments.y.scatter, self.moments.scatter
        own, other, both = x.square().sum(1), y.square().sum(1), (x * y).sum(1)
        a, b = self.variances
        unit, turned = (a + b) / 2, (own + other) / 2
        forms = {
            "xx": 2 * ((x @ sx) * x).sum(1),
            "yy": 2 * ((y @ sy) * y).sum(1),
            "xy": 2 * ((x @ cross) * y).sum(1),
        }
        norms = {"xx": sx, "yy": sy, "xy": cross}
        plain = {k: forms[k] / norms[k].square().sum() for k in forms}
        debiased = {}
        n = self.moments.n
        for k, (u, v) in {"xx": (own, own), "yy": (other, other), "xy": (own, other)}.items():
            _, p, q, _ = self._sides(k)
            joined = (u * q + v * p) / ((n - 1) * (n - 2))
            debiased[k] = (forms[k] - u * v * (1 + 2 / (n - 2)) + joined) / self._hsic(k)
        values = self.values
        aligned = own + other - 2 * ((x @ self.rotation) * y).sum(1)
        apart = own + other - 2 * both
        size = self.shift.square().sum()
        # n times the squared shift, with the sums' number of tokens held fixed.
        moved = 2 * ((y - x) @ self.shift) + size
        share = values[5].square()
        return torch.stack(
            [
                values[0] * (plain["xy"] - (plain["xx"] + plain["yy"]) / 2),
                values[1] * (debiased["xy"] - (debiased["xx"] + debiased["yy"]) / 2),
                (aligned - values[2] * turned) / unit,
                (apart + moved - values[3] * turned) / unit,
                (apart - values[4] * turned) / unit,
                (moved - share * turned) / unit / (2 * values[5]).clamp(min=1e-300),
            ],
            dim=1,
        )


def rotation(moments: CrossMoments) -> Float[Tensor, "d_x d_y"]:
    """Orthogonal Q that minimises ‖x Q - y‖, both centred (Procrustes)."""
    u, _, vh = torch.linalg.svd(moments.scatter)
    return u @ vh


def squared_norms(
    x: Float[Tensor, "token d_model"], y: Float[Tensor, "token d_model"], moments: CrossMoments
) -> Float[Tensor, " sum"]:
    """Contribution of a batch of tokens to the sums of `Fourth`: xx, yy, xy."""
    own = (x.double() - moments.x.mean).square().sum(1)
    other = (y.double() - moments.y.mean).square().sum(1)
    return torch.stack([own @ own, other @ other, own @ other])


def summed(
    table: Float[Tensor, "token measure"], row: Int[Tensor, " token"], n_rows: int
) -> Float[Tensor, "row measure"]:
    """Sum over the tokens of each row."""
    return table.new_zeros(n_rows, table.shape[1]).index_add_(0, row, table)
