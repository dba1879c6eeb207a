"""Means and covariances that are added to, batch by batch, without losing digits."""

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture.trunk import CaptureError

_WIDE, _STRIPS = 256, 4
"""From this width on a scatter is computed in strips, so many that little of it is done twice."""


class Moments:
    """Number, mean and scatter of vectors, added to a batch at a time.

    Sums are float64 and taken about the mean of each batch, so that a mean that is large beside the
    spread costs no digits.

    Source: Chan, Golub and LeVeque 1979, pairwise update of sums of squares.

    Attributes:
        n: Vectors seen.
        mean: Their mean.
        scatter: Sum of outer products of deviations from the mean.
    """

    def __init__(self, d_model: int, *, device: str | torch.device = "cpu") -> None:
        """Begin with no vector.

        Args:
            d_model: Width of the vectors.
            device: Where the sums are kept; it must know float64.
        """
        self.n = 0
        self.mean: Float[Tensor, " d_model"] = torch.zeros(
            d_model, dtype=torch.float64, device=device
        )
        self.scatter: Float[Tensor, "d_model d_model"] = torch.zeros(
            d_model, d_model, dtype=torch.float64, device=device
        )

    @torch.no_grad()
    def update(self, x: Float[Tensor, "token d_model"]) -> None:
        """Add vectors.

        Args:
            x: Activations of any float dtype; none is allowed.

        Raises:
            CaptureError: The width is another one, or a value is not finite.
        """
        _check_width(x, self.mean)
        if len(x):
            mean, deviation = _centred(x, self.mean)
            self._add(len(x), mean, _gram(deviation))

    def merge(self, other: "Moments") -> "Moments":
        """Moments of the vectors of both, whichever comes first.

        Raises:
            CaptureError: The widths differ.
        """
        _check_width(other.mean[None], self.mean)
        found = Moments(len(self.mean), device=self.mean.device)
        for part in (self, other):
            found._add(part.n, part.mean.to(self.mean), part.scatter.to(self.mean))
        return found

    def _add(self, n: int, mean: Tensor, scatter: Tensor) -> None:
        """Add a group that is known by its own moments."""
        if not n:
            return
        total = self.n + n
        step = mean - self.mean
        self.scatter += scatter
        self.scatter.addr_(step, step, alpha=self.n * n / total)
        self.mean += step * (n / total)
        self.n = total

    def covariance(self, *, ddof: int = 1) -> Float[Tensor, "d_model d_model"]:
        """Covariance of the vectors.

        Args:
            ddof: Taken off the number of vectors: 1 is unbiased, 0 is that of the sample itself.

        Raises:
            CaptureError: There are no more than `ddof` vectors.
        """
        return self.scatter / _degrees(self.n, ddof)

    def variance(self, *, ddof: int = 1) -> Float[Tensor, " d_model"]:
        """Variance of each dimension; see `covariance`."""
        return self.scatter.diagonal() / _degrees(self.n, ddof)

    @property
    def gram(self) -> Float[Tensor, "d_model d_model"]:
        """Sum of outer products of the vectors as they are, not centred."""
        return torch.addr(self.scatter, self.mean, self.mean, alpha=self.n)

    @property
    def second_moment(self) -> Float[Tensor, "d_model d_model"]:
        """Mean of outer products of the vectors as they are, not centred.

        Raises:
            CaptureError: There are no vectors.
        """
        return self.gram / _degrees(self.n, 0)


class CrossMoments:
    """Moments of pairs of vectors: each side's own, and the scatter of one against the other.

    Attributes:
        x: Moments of the first vectors.
        y: Moments of the second vectors.
        scatter: Sum of outer products of a pair's deviations.
    """

    def __init__(self, d_x: int, d_y: int, *, device: str | torch.device = "cpu") -> None:
        """Begin with no pair.

        Args:
            d_x: Width of the first vectors.
            d_y: Width of the second vectors.
            device: Where the sums are kept; it must know float64.
        """
        self.x = Moments(d_x, device=device)
        self.y = Moments(d_y, device=device)
        self.scatter: Float[Tensor, "d_x d_y"] = torch.zeros(
            d_x, d_y, dtype=torch.float64, device=device
        )

    @property
    def n(self) -> int:
        """Pairs seen."""
        return self.x.n

    @torch.no_grad()
    def update(self, x: Float[Tensor, "token d_x"], y: Float[Tensor, "token d_y"]) -> None:
        """Add pairs: row i of `x` belongs to row i of `y`.

        Raises:
            CaptureError: The numbers of vectors differ, a width is another one, or a value is not
                finite.
        """
        if len(x) != len(y):
            raise CaptureError(
                f"x has {len(x)} vectors and y has {len(y)}, so they do not belong together one by "
                "one. Read both at the same tokens."
            )
        _check_width(x, self.x.mean)
        _check_width(y, self.y.mean)
        if not len(x):
            return
        mean_x, from_x = _centred(x, self.x.mean)
        mean_y, from_y = _centred(y, self.y.mean)
        # A model against itself has its own scatter on both sides, to the bit and at one's price.
        same = torch.equal(from_x, from_y)
        own = _gram(from_x)
        self._add_cross(len(x), mean_x, mean_y, own if same else from_x.T @ from_y)
        self.x._add(len(x), mean_x, own)
        self.y._add(len(x), mean_y, own if same else _gram(from_y))

    def merge(self, other: "CrossMoments") -> "CrossMoments":
        """Moments of the pairs of both, whichever comes first.

        Raises:
            CaptureError: The widths differ.
        """
        _check_width(other.x.mean[None], self.x.mean)
        _check_width(other.y.mean[None], self.y.mean)
        device = self.scatter.device
        found = CrossMoments(len(self.x.mean), len(self.y.mean), device=device)
        for part in (self, other):
            means = part.x.mean.to(device), part.y.mean.to(device)
            found._add_cross(part.n, *means, part.scatter.to(device))
            found.x._add(part.n, means[0], part.x.scatter.to(device))
            found.y._add(part.n, means[1], part.y.scatter.to(device))
        return found

    def _add_cross(self, n: int, mean_x: Tensor, mean_y: Tensor, scatter: Tensor) -> None:
        """Add a group's cross scatter; before the two sides' own, whose means it needs."""
        if n:
            self.scatter += scatter
            step_x, step_y = mean_x - self.x.mean, mean_y - self.y.mean
            self.scatter.addr_(step_x, step_y, alpha=self.n * n / (self.n + n))

    def covariance(self, *, ddof: int = 1) -> Float[Tensor, "d_x d_y"]:
        """Covariance of the first vectors with the second.

        Args:
            ddof: Taken off the number of pairs: 1 is unbiased, 0 is that of the sample itself.

        Raises:
            CaptureError: There are no more than `ddof` pairs.
        """
        return self.scatter / _degrees(self.n, ddof)


def _centred(x: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of vectors and their deviations from it, as float64."""
    own = x.to(like.device).to(like.dtype, copy=True)
    mean = own.mean(0)
    # One look at the mean sees every value: whatever is not finite makes its sum not finite.
    if not bool(torch.isfinite(mean).all()):
        n_bad = int((~torch.isfinite(x)).any(1).sum())
        raise CaptureError(
            f"{n_bad} of {len(x)} vectors hold a value that is not finite, so every sum would be "
            "lost. Load the model in float32 or bfloat16, or leave those tokens out with keep."
        )
    return mean, own.sub_(mean)


def _gram(x: Float[Tensor, "token d"]) -> Float[Tensor, "d d"]:
    """x.T @ x, of which only the upper triangle is computed, in strips."""
    d = x.shape[1]
    if d < _WIDE:
        return x.T @ x
    strip, found = -(-d // _STRIPS), x.new_empty(d, d)
    for i in range(0, d, strip):
        found[i : i + strip, i:] = x[:, i : i + strip].T @ x[:, i:]
        found[i + strip :, i : i + strip] = found[i : i + strip, i + strip :].T
    return found


def _check_width(x: Tensor, mean: Tensor) -> None:
    """Refuse vectors of another width."""
    if x.ndim != 2 or x.shape[1] != len(mean):
        raise CaptureError(
            f"the vectors have the shape {tuple(x.shape)} and the sums are of width {len(mean)}, "
            "so they cannot be added. Read both at sites of one width."
        )


def _degrees(n: int, ddof: int) -> int:
    """Vectors less what is taken off."""
    if n <= ddof:
        raise CaptureError(
            f"{n} vectors were seen and ddof is {ddof}, so nothing is left to divide by. Read more "
            "tokens."
        )
    return n - ddof
