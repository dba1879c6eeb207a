"""How sure a number must be: coverage, resamples, seed."""

from dataclasses import dataclass

from elicit.stats import _checks


@dataclass(frozen=True, kw_only=True)
class Inference:
    """How intervals and tests over problems are made.

    Raises:
        ValueError: `level` is no probability, or there are fewer than 100 resamples.
    """

    level: float = 0.95
    """Coverage of intervals, in (0, 1)."""
    n_resamples: int = 2000
    """Resamples of the problems, at least 100."""
    seed: int = 0
    """Seed of every resample, split, control and random choice of the question."""

    def __post_init__(self) -> None:
        """Refuse what no interval could be made with."""
        _checks.fraction(self.level, name="level")
        _checks.resamples(self.n_resamples)
