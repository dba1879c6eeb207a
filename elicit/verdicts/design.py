"""How the ladder is measured and what counts, checked before any model runs."""

import math
from dataclasses import dataclass

from elicit.stats import Inference
from elicit.verdicts.errors import VerdictError
from elicit.verdicts.tests import fewest_draws


@dataclass(frozen=True, kw_only=True)
class LadderDesign:
    """How the ladder is measured, and which effects count.

    Raises:
        VerdictError: No verdict could follow from a value; it is named.
    """

    strengths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
    """Strengths of steering in units of the difference of the means, above 0, each once. Close to
    each other, for what steers a model and what breaks it may lie close too."""
    choose_share: float = 0.5
    """Share of the problems that everything is fitted and chosen on."""
    n_random: int = 20
    """Random directions that steer; 19 or more at level 0.95."""
    n_dosed: int = 24
    """Problems to choose on by which each control gets a strength of its own, at most; 0 leaves
    that out."""
    n_controls: int = 5
    """Draws of the control task and of shuffled labels, at least 1."""
    n_redrawn: int = 3
    """Copies of the base with re-initialised weights, probed as a control; there must be memory for
    its weights once more. 0 leaves that control out."""
    n_folds: int = 5
    """Folds by which probes are chosen."""
    margin: float = 0.1
    """Loss of accuracy, or of coherence, that still counts as none."""
    least_share: float = 0.5
    """Share of the gap that sufficiency must exceed."""
    least_effect: float = 0.2
    """Smallest effect that matters: a rung that would miss it is under-powered."""

    def __post_init__(self) -> None:
        """Refuse what allows no verdict."""
        for name in ("least_effect", "margin"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise VerdictError(
                    f"{name} is {value}, and it is a difference of two shares that still matters, "
                    "so it lies between 0 and 1. Pass for example 0.1."
                )
        if not 0 <= self.least_share < 1:
            raise VerdictError(
                f"least_share is {self.least_share}, and it is the share of the gap that must be "
                "exceeded. Pass 0 or more and less than 1."
            )
        if not 0 < self.choose_share < 1:
            raise VerdictError(
                f"choose_share is {self.choose_share}, and problems are needed both to choose on "
                "and to test on. Pass for example 0.5."
            )
        if self.n_controls < 1:
            raise VerdictError(
                f"n_controls is {self.n_controls}, and no probe is reported without its controls. "
                "Pass 1 or more."
            )
        if self.n_dosed < 0:
            raise VerdictError(
                f"n_dosed is {self.n_dosed}, and it counts problems on which controls choose "
                "strengths of their own. Pass 0 to leave that out, or 24."
            )
        if self.n_redrawn < 0:
            raise VerdictError(
                f"n_redrawn is {self.n_redrawn}, and it counts copies of the base with "
                "re-initialised weights. Pass 0 to leave them out, or 3."
            )
        each = self.strengths
        if not each or len(set(each)) < len(each) or not all(0 < s < math.inf for s in each):
            raise VerdictError(
                f"strengths is {list(each)}, and each scales a direction, finite and above 0, each "
                "once. Pass for example (1, 2, 4)."
            )

    def check(self, inference: Inference) -> None:
        """Refuse too few random directions for a level.

        Raises:
            VerdictError: The highest of them is exceeded by another one too often.
        """
        fewest = fewest_draws(inference)
        if self.n_random < fewest:
            raise VerdictError(
                f"n_random is {self.n_random}, and at level {inference.level:g} the highest of "
                f"fewer than {fewest} random directions is exceeded by one more too often. Pass "
                f"{fewest} or more."
            )
