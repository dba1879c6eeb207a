"""What steering does, dose by dose, beside its controls."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.elicitation.asking import TARGET
from elicit.elicitation.errors import ElicitationError
from elicit.results import Result


@dataclass(frozen=True, eq=False, kw_only=True)
class DoseCurve(Result):
    """Rates under a push of several strengths, and under controls that push as hard.

    The best of several strengths is chosen on these problems: what is reported of it must be
    measured on others, as `steer` does.
    """

    metric: tuple[str, ...]
    """`accuracy`, then each behaviour by its name."""
    arm: tuple[str, ...]
    """What is under test, then each control and baseline."""
    kind: tuple[str, ...]
    """Of each arm: `steered`, `control`, or `baseline`: another way to the same end."""
    strength: Float[Tensor, " strength"]
    """How strongly; 0 is the unsteered model."""
    reference: tuple[str, ...]
    """What is not steered: `unsteered`, the `target` if there is one, then other wordings."""
    site: str
    """Where it is written."""
    where: str
    """For which tokens."""
    model: str
    """Model that is steered."""
    target: str
    """Model whose rates are the goal; empty where there is none."""
    norm: float
    """Length of every push at strength 1; NaN where it depends on the token, alike for all arms."""
    resid_norm: float
    """Mean length of the activations that are pushed; NaN where it is not known."""
    n_problems: int
    """Problems, the unit of every interval."""
    n_samples: int
    """Texts a problem."""
    n_choose: int = 0
    """Other problems on which the strength was chosen; 0 where it was not chosen."""
    chosen_by: str = ""
    """Metric whose rate it was chosen by; empty where it was not chosen."""
    raised: bool = True
    """Whether that rate was to go up; else down."""
    level: float
    """Nominal coverage of the intervals."""
    gap: Float[Tensor, " metric"]
    """Rate of the target minus the unsteered one, paired by problem; NaN where there is none."""
    gap_low: Float[Tensor, " metric"]
    """Lower end."""
    gap_high: Float[Tensor, " metric"]
    """Upper end."""
    gap_clear: Bool[Tensor, " metric"]
    """Whether the interval of the gap leaves 0 out; where not, there is no share of it."""
    reference_rate: Float[Tensor, "metric reference"]
    """The same rate of what is not steered."""
    reference_rate_low: Float[Tensor, "metric reference"]
    """Lower end, for this cell alone."""
    reference_rate_high: Float[Tensor, "metric reference"]
    """Upper end, for this cell alone."""
    reference_share: Float[Tensor, "metric reference"]
    """The same share of the gap, of what is not steered."""
    reference_share_low: Float[Tensor, "metric reference"]
    """Lower end (Fieller), for this cell alone."""
    reference_share_high: Float[Tensor, "metric reference"]
    """Upper end (Fieller), for this cell alone."""
    rate: Float[Tensor, "metric arm strength"]
    """Share of texts that are right, or show the behaviour."""
    rate_low: Float[Tensor, "metric arm strength"]
    """Lower end, for this cell alone."""
    rate_high: Float[Tensor, "metric arm strength"]
    """Upper end, for this cell alone."""
    effect: Float[Tensor, "metric arm strength"]
    """Rate minus the unsteered one, paired by problem."""
    effect_low: Float[Tensor, "metric arm strength"]
    """Lower end, jointly over the cells of a metric."""
    effect_high: Float[Tensor, "metric arm strength"]
    """Upper end, jointly over the cells of a metric."""
    share: Float[Tensor, "metric arm strength"]
    """Effect as a share of the gap to the target: 0 none, 1 all, never clipped. NaN: no clear
    gap."""
    share_low: Float[Tensor, "metric arm strength"]
    """Lower end (Fieller), for this cell alone."""
    share_high: Float[Tensor, "metric arm strength"]
    """Upper end (Fieller), for this cell alone."""
    log_prob: Float[Tensor, "arm strength"]
    """Coherence: mean log-probability of a token of the steered text under the unsteered model,
    nats; texts that it would hardly write are low."""
    log_prob_low: Float[Tensor, "arm strength"]
    """Lower end, jointly over cells."""
    log_prob_high: Float[Tensor, "arm strength"]
    """Upper end, jointly over cells."""
    unsteered_log_prob: float
    """The same of the model's own texts."""
    truncated: Float[Tensor, "arm strength"]
    """Share of texts cut before they ended."""
    n_tokens: Float[Tensor, "arm strength"]
    """Mean tokens of a text."""

    @property
    def unsteered(self) -> Float[Tensor, " metric"]:
        """Rate of the model as it is."""
        return self.reference_rate[:, 0]

    @property
    def goal(self) -> Float[Tensor, " metric"]:
        """Rate of the target; NaN where there is none."""
        if TARGET not in self.reference:
            return torch.full_like(self.unsteered, torch.nan)
        return self.reference_rate[:, self.reference.index(TARGET)]

    def metric_row(self, metric: str | None) -> int:
        """Place of a metric.

        Args:
            metric: Its name; None takes the first.

        Raises:
            ElicitationError: It was not measured.
        """
        if metric is None:
            return 0
        if metric not in self.metric:
            raise ElicitationError(
                f"{metric!r} was not measured; there are {', '.join(self.metric)}. Pass one of "
                "these."
            )
        return self.metric.index(metric)

    @property
    def strongest_control(self) -> int:
        """Place of the control that does most of what was to be done, at the first strength.

        Raises:
            ElicitationError: There is no control.
        """
        places = [place for place, kind in enumerate(self.kind) if kind == "control"]
        if not places:
            raise ElicitationError("the curve has no control, so none is the strongest. Add some.")
        rates = self.rate[self.metric_row(self.chosen_by or None), :, 0]
        return max(places, key=lambda place: float(rates[place]) * (1 if self.raised else -1))

    def figure(self, metric: str | None = None) -> Any:
        """Rate and coherence over strengths, controls in grey; of one strength, arm by arm.

        Args:
            metric: Name of a metric; None takes the first.

        Raises:
            ElicitationError: The metric was not measured.
        """
        from elicit.elicitation.figures import arms_figure, dose_figure

        return (arms_figure if len(self.strength) == 1 else dose_figure)(self, metric)
