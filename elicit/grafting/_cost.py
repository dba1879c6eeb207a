"""Cost of a sweep in layer calls."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Cost:
    """Layer calls of a sweep and of a naive sweep with whole forward passes."""

    spent: int = 0
    naive: int = 0
    trunk: int = 0
    """Layer calls of the two unmodified models, needed by both sweeps."""

    @property
    def ratio(self) -> float:
        """Share of the naive sweep's layer calls; NaN before any sweep."""
        return self.spent / self.naive if self.naive else float("nan")


def distinct_intervals(changed: Sequence[bool]) -> dict[tuple[int, int], tuple[int, int] | None]:
    """The interval that each interval of layers amounts to, without unchanged layers at its ends.

    Returns:
        Inner interval by first and last layer; None where no layer inside differs.
    """
    inner: dict[tuple[int, int], tuple[int, int] | None] = {}
    for first in range(len(changed)):
        for last in range(first, len(changed)):
            inside = [layer for layer in range(first, last + 1) if changed[layer]]
            inner[first, last] = (inside[0], inside[-1]) if inside else None
    return inner


def interval_calls(changed: Sequence[bool]) -> int:
    """Layer calls with which a teacher-forced sweep moves all intervals in one direction.

    Args:
        changed: Whether each layer differs.
    """
    calls, n_layers = 0, len(changed)
    needed = {span for span in distinct_intervals(changed).values() if span is not None}
    for start in {first for first, _ in needed}:
        lasts = sorted(last for first, last in needed if first == start)
        calls += lasts[-1] + 1 - start + sum(n_layers - last - 1 for last in lasts)
    return calls
