"""Cost of a sweep in layer calls."""

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
