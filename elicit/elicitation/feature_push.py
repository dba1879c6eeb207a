"""A control of a feature's edit: the same norm at every token, along another direction."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from elicit.features import Sae
from elicit.results import digest_json, digest_tensors

How = Literal["add", "clamp", "project_out"]
"""What is done with a feature: some of it added, set to a value, or its direction removed."""


@dataclass(frozen=True, eq=False)
class FeaturePush:
    """Adds along another direction what a feature's edit adds along its own."""

    sae: Sae
    feature: int
    how: How
    amount: float
    """Of `add` and `clamp`, in units of the feature's activation."""
    direction: Float[Tensor, " d_in"]
    """Instead of the feature's own, and as long."""

    @property
    def digest(self) -> str:
        """Digest, for checkpoint keys."""
        held = [self.sae.function_digest, self.feature, self.how, self.amount]
        return digest_json([*held, digest_tensors({"direction": self.direction})])

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """The direction, scaled at each token as the feature's own edit would be."""
        own = self.sae.directions[self.feature]
        if self.how == "project_out":
            wide = x.to(own)
            return -(wide @ own)[:, None] / own.square().sum() * self.direction
        times = self.sae.unit(x)
        if self.how == "clamp":
            return (self.amount - self.sae.encode_one(x, self.feature)) * times * self.direction
        return self.amount * times * self.direction
