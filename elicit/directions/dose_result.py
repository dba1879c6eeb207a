"""What adding a direction does, dose by dose, beside its controls."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from elicit.directions.errors import DirectionError
from elicit.results import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class DoseCurve(Result):
    """Rates under a direction of several strengths, and under controls of the same norm.

    The best of several strengths is chosen on these problems: what is reported of it must be
    measured on others.
    """

    metric: tuple[str, ...]
    """`accuracy`, then each behaviour by its name."""
    curve: tuple[str, ...]
    """The direction first, then each control by how it was made."""
    strength: Float[Tensor, " strength"]
    """Factors of the vector; 0 is the unsteered model."""
    site: str
    """Where the vector is added."""
    where: str
    """For which tokens."""
    model: str
    """Model that is steered."""
    target: str
    """Model whose rates are the goal; empty where there is none."""
    norm: float
    """Length of every vector at strength 1."""
    resid_norm: float
    """Mean length of the activations that the direction was found in."""
    n_problems: int
    """Problems, the unit of every interval."""
    n_samples: int
    """Texts a problem."""
    level: float
    """Nominal coverage of the intervals."""
    unsteered: Float[Tensor, " metric"]
    """Rate of the model as it is."""
    goal: Float[Tensor, " metric"]
    """Rate of the target; NaN where there is none."""
    gap_clear: Bool[Tensor, " metric"]
    """Whether the interval of goal minus unsteered leaves 0 out; where not, there is no share."""
    rate: Float[Tensor, "metric curve strength"]
    """Share of texts that are right, or show the behaviour."""
    rate_low: Float[Tensor, "metric curve strength"]
    """Lower end, for this cell alone."""
    rate_high: Float[Tensor, "metric curve strength"]
    """Upper end, for this cell alone."""
    effect: Float[Tensor, "metric curve strength"]
    """Rate minus the unsteered one, paired by problem."""
    effect_low: Float[Tensor, "metric curve strength"]
    """Lower end, jointly over the cells of a metric."""
    effect_high: Float[Tensor, "metric curve strength"]
    """Upper end, jointly over the cells of a metric."""
    share: Float[Tensor, "metric curve strength"]
    """Effect as a share of the gap to the target: 0 none, 1 all, never clipped. NaN: no clear
    gap."""
    share_low: Float[Tensor, "metric curve strength"]
    """Lower end (Fieller), for this cell alone."""
    share_high: Float[Tensor, "metric curve strength"]
    """Upper end (Fieller), for this cell alone."""
    log_prob: Float[Tensor, "curve strength"]
    """Coherence: mean log-probability of a token of the steered text under the unsteered model,
    nats; texts that it would hardly write are low."""
    log_prob_low: Float[Tensor, "curve strength"]
    """Lower end, jointly over cells."""
    log_prob_high: Float[Tensor, "curve strength"]
    """Upper end, jointly over cells."""
    unsteered_log_prob: float
    """The same of the model's own texts."""
    truncated: Float[Tensor, "curve strength"]
    """Share of texts cut before they ended."""
    n_tokens: Float[Tensor, "curve strength"]
    """Mean tokens of a text."""

    def metric_row(self, metric: str | None) -> int:
        """Place of a metric.

        Args:
            metric: Its name; None takes the first.

        Raises:
            DirectionError: It was not measured.
        """
        if metric is None:
            return 0
        if metric not in self.metric:
            raise DirectionError(
                f"{metric!r} was not measured; there are {', '.join(self.metric)}. Pass one of "
                "these."
            )
        return self.metric.index(metric)

    def figure(self, metric: str | None = None) -> Any:
        """Rate and coherence over strengths, controls in grey (plotly).

        Args:
            metric: Name of a metric; None takes the first.

        Raises:
            DirectionError: The metric was not measured.
        """
        from elicit.directions.figures import dose_figure

        return dose_figure(self, metric)
