"""Means and covariances that are added to, batch by batch, without losing digits."""

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture.errors import CaptureError

_WIDE, _STRIPS = 256, 4
"""From this width on a scatter is computed in strips, so many that little of it is done twice."""


class Moments:
    """Number, mean and scatter of vectors, added to a batch at a time.

    Sums are float64 and taken about the mean of each batch, so that a mean that is large beside the
    spread costs no digits.

    Source: Chan, Golub and LeVeque 1979, pairwise update of sums of squares; how far a batch's mean
        is off joins the product as one more deviation.

    Attributes:
        n: Vectors seen.
        mean: Their mean.
    """

    def __init__(self, d_model: int, *, device: str | torch.device = "cpu") -> None:
        """Begin with no vector.

        `device`: where the sums are kept; it must know float64.
        """
        self.n = 0
        self.mean: Float[Tensor, " d_model"] = torch.zeros(
            d_model, dtype=torch.float64, device=device
        )
        self._sums = torch.zeros(d_model, d_model, dtype=torch.float64, device=device)
        self._lower = True

    @property
    def scatter(self) -> Float[Tensor, "d_model d_model"]:
        """Sum of outer products of deviations from the mean."""
        if not self._lower:
            d, strip = len(self._sums), _strip(len(self._sums))
            for i in range(0, d, strip):
                self._sums[i + strip :, i : i + strip] = self._sums[i : i + strip, i + strip :].T
            self._lower = True
        return self._sums

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
            self._absorb(*_centred(x, self.mean))

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

    def _absorb(self, mean: Tensor, rows: Tensor) -> None:
        """Add a batch whose deviations have room for one more; see `_centred`."""
        n, d = len(rows) - 1, rows.shape[1]
        step = _joined(self, n, mean, rows)
        strip = _strip(d)
        for i in range(0, d, strip):
            # Only what lies on or above the diagonal; the rest is its mirror.
            self._sums[i : i + strip, i:].addmm_(rows[:, i : i + strip].T, rows[:, i:])
        self._lower = strip >= d
        self._move(n, step)

    def _add(self, n: int, mean: Tensor, scatter: Tensor) -> None:
        """Add a group that is known by its own moments."""
        if not n:
            return
        step = mean - self.mean
        self._sums = self.scatter + scatter
        self._sums.addr_(step, step, alpha=self.n * n / (self.n + n))
        self._move(n, step)

    def _move(self, n: int, step: Tensor) -> None:
        """Count vectors whose mean is a step away."""
        self.n += n
        self.mean = self.mean + step * (n / self.n)

    def _become(self, other: "Moments") -> None:
        """Take another's moments over."""
        self.n, self.mean = other.n, other.mean.clone()
        self._sums.copy_(other.scatter)
        self._lower = True

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

        `device`: where the sums are kept; it must know float64.
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
        x_rows, y_rows = _centred(x, self.x.mean), _centred(y, self.y.mean)
        if torch.equal(x, y.to(x)) and self._is_one():
            # A model against itself has its own scatter on both sides, to the bit.
            self.x._absorb(*x_rows)
            self.y._become(self.x)
            self.scatter.copy_(self.x.scatter)
            return
        for side, (mean, rows) in ((self.x, x_rows), (self.y, y_rows)):
            _joined(side, len(x), mean, rows)
        self.scatter.addmm_(x_rows[1].T, y_rows[1])
        self.x._absorb(*x_rows)
        self.y._absorb(*y_rows)

    def _is_one(self) -> bool:
        """Whether both sides have been the same up to now."""
        own = self.x.scatter
        return self.scatter.shape == own.shape and (
            torch.equal(self.scatter, own) and torch.equal(own, self.y.scatter)
        )

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
    """Mean of vectors; their deviations from it as float64, and room for one more below them."""
    rows = x.new_empty(len(x) + 1, x.shape[1], dtype=like.dtype, device=like.device)
    own = rows[:-1].copy_(x)
    mean = own.mean(0)
    # One look at the mean sees every value: whatever is not finite makes its sum not finite.
    if not bool(torch.isfinite(mean).all()):
        n_bad = int((~torch.isfinite(x)).any(1).sum())
        raise CaptureError(
            f"{n_bad} of {len(x)} vectors hold a value that is not finite, so every sum would be "
            "lost. Load the model in float32 or bfloat16, or leave those tokens out with keep."
        )
    own.sub_(mean)
    return mean, rows


def _joined(side: Moments, n: int, mean: Tensor, rows: Tensor) -> Tensor:
    """How far a batch's mean is from the one so far, put below its deviations at its weight."""
    step = mean - side.mean
    torch.mul(step, (side.n * n / (side.n + n)) ** 0.5, out=rows[-1])
    return step


def _strip(d: int) -> int:
    """Rows of a scatter that are computed at once: all of them where it is small."""
    return d if d < _WIDE else -(-d // _STRIPS)


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
