"""Ratios of sums over tokens, with intervals over problems."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.features._reading import Rows, wide
from elicit.results import Estimate
from elicit.stats import Inference, problem_mean


class Spread:
    """Sum of squared deviations from the mean, accumulated over batches in float64.

    Attributes:
        n: Vectors seen.
        mean: Their mean.
        total: Sum over vectors of ‖x - mean‖².
    """

    def __init__(self, width: int) -> None:
        """Start empty."""
        self.n = 0
        self.mean: Float[Tensor, " width"] = torch.zeros(width, dtype=torch.float64)
        self.total = 0.0

    def update(self, x: Float[Tensor, "token width"]) -> None:
        """Add vectors.

        Source: Chan, Golub and LeVeque 1979.
        """
        own = wide(x)
        mean = own.mean(0)
        step = mean.cpu() - self.mean
        n = self.n + len(own)
        self.total += float((own - mean).square().sum())
        self.total += float(step.square().sum()) * self.n * len(own) / n
        self.mean += step * (len(own) / n)
        self.n = n


class Deviations:
    """Squared deviations of each row's tokens from the overall mean, and squared errors.

    Sums are taken about the first batch's mean, so that a large mean costs no precision.

    Attributes:
        n: Tokens of each row.
        error: Σ‖x - x̂‖² of each row.
        active: Active features of each row.
    """

    def __init__(self, rows: Rows) -> None:
        """Start empty."""
        self._row_of, n_rows = rows.row, len(rows.rows)
        self.n, self.error, self.active, self._squares = torch.zeros(
            4, n_rows, dtype=torch.float64
        ).unbind()
        self._sums: Tensor = torch.zeros(0)
        self._pivot: Tensor | None = None

    def update(
        self,
        index: Int[Tensor, " token"],
        x: Float[Tensor, "token d_in"],
        made: Float[Tensor, "token d_in"],
        active: Int[Tensor, " token"],
    ) -> None:
        """Add tokens."""
        if self._pivot is None:
            self._pivot = x.mean(0)
            self._sums = torch.zeros(len(self.n), x.shape[1], dtype=torch.float64)
        row, own = self._row_of[index], x - self._pivot.to(x)
        self.n.index_add_(0, row, torch.ones(len(row), dtype=torch.float64))
        self.error.index_add_(0, row, (x.to(made) - made).square().sum(1).cpu())
        self.active.index_add_(0, row, active.double().cpu())
        self._squares.index_add_(0, row, own.square().sum(1).cpu())
        self._sums.index_add_(0, row, own.cpu())

    def spread(self) -> Float[Tensor, " row"]:
        """Σ‖x - x̄‖² of each row, x̄ the mean over the tokens of all rows."""
        mean = self._sums.sum(0) / self.n.sum()
        return self._squares - 2 * self._sums @ mean + self.n * mean.square().sum()


def with_ends(
    value: float, values: Float[Tensor, " problem"], inference: Inference = Inference()
) -> Estimate:
    """Estimate whose interval is that of the mean of its linearised values.

    `values`: one value per problem, see `linearised_ratio`.
    """
    result = problem_mean(values, inference=inference)
    return Estimate.of(torch.tensor([value, result.low, result.high], dtype=torch.float64))
