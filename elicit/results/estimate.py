"""Estimate: a number with the interval that says how sure it is, on named axes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.results.errors import ResultError


@runtime_checkable
class _HasEnds(Protocol):
    """A single number with its interval, such as `elicit.stats.Interval`."""

    @property
    def value(self) -> float: ...

    @property
    def low(self) -> float: ...

    @property
    def high(self) -> float: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimate:
    """Numbers with the ends of their intervals, three arrays on the same axes.

    A result names the axes in its annotation, `effect: Annotated[Estimate, "task part"]`; its table
    then has the columns `effect`, `effect_low` and `effect_high`. What was not measured is NaN in
    all three; a number without an interval has NaN ends.

    Raises:
        ResultError: The three arrays have different shapes.
    """

    value: Float[Tensor, "..."]
    """The estimate."""
    low: Float[Tensor, "..."]
    """Lower end of its interval."""
    high: Float[Tensor, "..."]
    """Upper end of its interval."""

    def __post_init__(self) -> None:
        """Refuse ends that belong to other numbers."""
        if not self.value.shape == self.low.shape == self.high.shape:
            raise ResultError(
                f"value has shape {tuple(self.value.shape)}, low {tuple(self.low.shape)} and high "
                f"{tuple(self.high.shape)}, so the intervals belong to other numbers. Give three "
                "arrays of one shape."
            )

    @classmethod
    def of(cls, ends: Tensor | np.ndarray) -> "Estimate":
        """Estimate from one array whose first axis is value, low, high."""
        value, low, high = torch.as_tensor(ends)
        return cls(value=value, low=low, high=high)

    @classmethod
    def of_intervals(cls, intervals: Iterable[_HasEnds]) -> "Estimate":
        """Estimate over one axis from single intervals, in float64."""
        rows = [(each.value, each.low, each.high) for each in intervals]
        return cls.of(torch.tensor(rows, dtype=torch.float64).reshape(-1, 3).T.contiguous())

    @classmethod
    def stack(cls, estimates: Iterable["Estimate"], dim: int = 0) -> "Estimate":
        """Estimates of one shape along a new axis.

        Args:
            estimates: At least one.
            dim: Place of the new axis.
        """
        items = list(estimates)
        return cls(
            **{
                name: torch.stack([getattr(item, name) for item in items], dim)
                for name in ("value", "low", "high")
            }
        )

    @classmethod
    def missing(cls, *shape: int) -> "Estimate":
        """NaN throughout: what was not measured."""
        return cls.of(torch.full((3, *shape), torch.nan, dtype=torch.float64))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(self.value.shape)

    @property
    def clear(self) -> Bool[Tensor, "..."]:
        """Where the interval excludes 0; false where it was not measured."""
        return (self.low > 0) | (self.high < 0)

    @property
    def ends(self) -> tuple[float, float, float]:
        """Value, low and high of a single number.

        Raises:
            ResultError: There are several numbers.
        """
        if self.value.numel() != 1:
            raise ResultError(
                f"the estimate has shape {self.shape}, so it is no single number. Index it first."
            )
        return self.value.item(), self.low.item(), self.high.item()

    def map(self, change: Callable[[Tensor], Tensor]) -> "Estimate":
        """The same change made to value, low and high.

        Args:
            change: Must keep the order of numbers, such as a cast, a shift or a selection.
        """
        return Estimate(value=change(self.value), low=change(self.low), high=change(self.high))

    def within(self, least: float, most: float) -> "Estimate":
        """The estimate without what no value could be, such as a share above 1.

        Args:
            least: Smallest possible value.
            most: Largest possible value.
        """
        low, high = (end.clamp(least, most) for end in (self.low, self.high))
        return Estimate(value=self.value, low=low, high=high)

    def to_json(self) -> dict[str, Any]:
        """Value, low and high as plain lists or numbers; NaN becomes None."""
        return {name: _plain(getattr(self, name).tolist()) for name in ("value", "low", "high")}

    def __getitem__(self, index: Any) -> "Estimate":
        """The estimate at an index of its axes, read as torch reads it."""
        return self.map(lambda array: array[index])


def _plain(values: Any) -> Any:
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return None if values != values else values
