"""Result of a dose curve: rates by strength, beside controls."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.errors import ElicitationError
from elicit.elicitation.goal import TARGET
from elicit.results import Estimate, Result

_TOKENS = {
    "last()": "the prompt’s last token",
    "generated(0, 0)": "the first generated token",
    "generated()": "every generated token",
    "everywhere()": "every token",
}
"""Usual choices of `where`, in words."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DoseCurve(Result):
    """Rates by steering strength, and under controls of equal norm.

    The best strength is chosen on these problems: its effect must be measured on held-out ones,
    as `steer` does.
    """

    metric: tuple[str, ...]
    """`accuracy`, then each marker by its name."""
    arm: tuple[str, ...]
    """The arm under test, then each control and baseline."""
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
    doses: tuple[float, ...] = ()
    """Where there is one strength: that at which each arm was run. Every control has its own, the
    best on the problems to choose on; empty where there are several."""
    n_choose: int = 0
    """Other problems on which the strength was chosen; 0 where it was not chosen."""
    chosen_by: str = ""
    """Metric whose rate it was chosen by; empty where it was not chosen."""
    raised: bool = True
    """Whether that rate was to go up; else down."""
    level: float
    """Nominal coverage of the intervals."""
    gap: Annotated[Estimate, "metric"]
    """Rate of the target minus the unsteered one, paired by problem; NaN without a target. There is
    a share of it only where its interval excludes 0."""
    reference_rate: Annotated[Estimate, "metric reference"]
    """The same rate of what is not steered, with the interval of this cell alone."""
    reference_share: Annotated[Estimate, "metric reference"]
    """The same share of the gap, of what is not steered (Fieller, of this cell alone)."""
    rate: Annotated[Estimate, "metric arm strength"]
    """Share of texts that are right, or show the behaviour, with the interval of this cell
    alone."""
    effect: Annotated[Estimate, "metric arm strength"]
    """Rate minus the unsteered one, paired by problem; intervals are simultaneous over the cells of
    a metric."""
    share: Annotated[Estimate, "metric arm strength"]
    """Effect as a share of the gap to the target: 0 none, 1 all, never clipped (Fieller, of this
    cell alone). NaN: the gap is not clear."""
    log_prob: Annotated[Estimate, "arm strength"]
    """Mean log-probability of a token of the steered text under the unsteered model, nats; text
    that falls apart is low. Intervals are simultaneous over cells."""
    unsteered_log_prob: float
    """The same of the model's own texts."""
    coherent: Annotated[Estimate, "arm strength"]
    """Share of coherent texts (see `elicitation.coherence`), with the interval of this cell
    alone."""
    unsteered_coherent: float
    """The same of the model's own texts."""
    truncated: Float[Tensor, "arm strength"]
    """Share of texts cut before they ended."""
    n_tokens: Float[Tensor, "arm strength"]
    """Mean tokens of a text."""

    @property
    def unsteered(self) -> Float[Tensor, " metric"]:
        """Unsteered rate."""
        return self.reference_rate.value[:, 0]

    @property
    def goal(self) -> Float[Tensor, " metric"]:
        """Rate of the target; NaN where there is none."""
        if TARGET not in self.reference:
            return torch.full_like(self.unsteered, torch.nan)
        return self.reference_rate.value[:, self.reference.index(TARGET)]

    @property
    def steered_tokens(self) -> str:
        """For which tokens, in words."""
        return _TOKENS.get(self.where, self.where)

    def metric_row(self, metric: str | None) -> int:
        """Index of a metric.

        Args:
            metric: Its name; None takes the first.

        Raises:
            ElicitationError: The metric was not measured.
        """
        if metric is None:
            return 0
        if metric not in self.metric:
            raise ElicitationError(
                f"{metric!r} was not measured; there are {', '.join(self.metric)}. Pass one of "
                "these."
            )
        return self.metric.index(metric)

    def dose(self, arm: int) -> float:
        """Strength at which an arm was run, of a curve of one strength.

        Args:
            arm: Place of the arm.
        """
        return self.doses[arm] if self.doses else self.strength[0].item()

    @property
    def strongest_control(self) -> int:
        """Index of the control with the largest intended effect, each at its own strength.

        Raises:
            ElicitationError: There is no control.
        """
        places = [place for place, kind in enumerate(self.kind) if kind == "control"]
        if not places:
            raise ElicitationError("the curve has no control, so none is the strongest. Add some.")
        rates = self.rate.value[self.metric_row(self.chosen_by or None), :, 0]
        return max(places, key=lambda place: float(rates[place]) * (1 if self.raised else -1))
