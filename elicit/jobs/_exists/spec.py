"""What `elicit exists` was asked to do, checked before any work."""

from typing import ClassVar

from pydantic import Field

from elicit.jobs._cued import GradedSpec


class ExistsSpec(GradedSpec):
    """What `elicit exists` was asked to do."""

    command: ClassVar[str] = "exists"

    strengths: tuple[float, ...] = ()
    """In units of the difference of the means; none means those of `existence.STRENGTHS`."""
    n_random: int = Field(default=20, ge=1)
    """Random directions."""
    n_redrawn: int = Field(default=3, ge=0)
    """Draws of all weights of the base, probed as a control; there must be room for them."""
    margin: float = Field(default=0.1, gt=0, lt=1)
    """Loss of accuracy or coherence that counts as none."""
    least_share: float = Field(default=0.5, ge=0, lt=1)
    """Share of the gap that sufficiency must exceed."""
    least_effect: float = Field(default=0.2, gt=0, lt=1)
    """Smallest effect that matters."""
