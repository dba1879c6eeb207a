"""What a sweep costs, in layer calls."""

from dataclasses import dataclass


@dataclass
class Cost:
    """Layer calls spent, beside those of a sweep that runs every forward whole."""

    spent: int = 0
    naive: int = 0
    trunk: int = 0
    """Layer calls of the two unmoved models, which either sweep needs."""

    @property
    def ratio(self) -> float:
        """Share of the naive sweep's layer calls; NaN before any sweep."""
        return self.spent / self.naive if self.naive else float("nan")
