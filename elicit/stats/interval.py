"""A number with the interval that says how sure it is."""

from dataclasses import dataclass, replace
from math import sqrt

from elicit.stats import _checks


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate and the range that covers the truth in a share `level` of repetitions."""

    value: float
    """The estimate."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    level: float = 0.95
    """Nominal coverage."""
    n: int
    """Problems (clusters) that the interval rests on."""
    method: str
    """How the ends were found."""

    @property
    def clear_of_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.clear_of(0.0)

    def clear_of(self, margin: float) -> bool:
        """Whether every effect in the interval is larger than `margin`, all of one sign.

        Args:
            margin: Smallest effect that matters, at least 0, in units of the value.

        Raises:
            ValueError: `margin` is negative or not a number.
        """
        if not margin >= 0:
            raise ValueError(
                f"margin is {margin}, but it bounds an absolute effect and must be at least 0. "
                "Pass the smallest effect that matters, without a sign."
            )
        return bool(self.low > margin or self.high < -margin)

    def within(self, least: float, most: float) -> "Interval":
        """The interval without what no value could be, such as a share above 1.

        Args:
            least: Smallest possible value.
            most: Largest possible value.
        """
        low, high = (min(max(end, least), most) for end in (self.low, self.high))
        return replace(self, low=low, high=high)

    def to_json(self) -> dict[str, float]:
        """The number and its ends, as JSON carries them."""
        return {"value": self.value, "low": self.low, "high": self.high}


def wilson(k: int, n: int, *, level: float = 0.95) -> Interval:
    """Proportion of independent problems, with the Wilson score interval.

    Unlike a bootstrap it does not shrink to a point at `k` = 0 or `k` = `n`, and its ends are
    proportions.

    Args:
        k: Problems that succeeded, in [0, n].
        n: Problems tried, at least 1.
        level: Coverage, in (0, 1).

    Raises:
        ValueError: `k` lies outside [0, n], `n` is below 1, or `level` is no probability.

    Source: Wilson 1927, without continuity correction.
    """
    from scipy.special import ndtri

    level = _checks.fraction(level, name="level")
    if n < 1 or not 0 <= k <= n:
        raise ValueError(
            f"k is {k} and n is {n}, but k counts successes among n problems. "
            "Pass 0 <= k <= n with n at least 1."
        )
    z = float(ndtri((1 + level) / 2))
    share, spread = k / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / spread
    half = z / spread * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(
        value=share,
        # At the ends the formula is exact on paper and off by a rounding error in floats.
        low=0.0 if k == 0 else centre - half,
        high=1.0 if k == n else centre + half,
        level=level,
        n=n,
        method="wilson",
    )
