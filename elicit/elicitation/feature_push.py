"""A feature's own push along another direction: as long at every token, and of no meaning."""

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
    """What the edit of a feature would add along its own direction, added along another."""

    sae: Sae
    feature: int
    how: How
    amount: float
    """Of `add` and `clamp`, in units of the feature's activation."""
    direction: Float[Tensor, " d_in"]
    """Instead of the feature's own, and as long."""

    @property
    def digest(self) -> str:
        """What tells its texts from those of other edits."""
        held = [self.sae.function_digest, self.feature, self.how, self.amount]
        return digest_json([*held, digest_tensors({"direction": self.direction})])

    def __call__(self, x: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        """The direction, as often as the feature's own would be added at each token."""
        own = self.sae.directions[self.feature]
        if self.how == "project_out":
            wide = x.to(own)
            return -(wide @ own)[:, None] / own.square().sum() * self.direction
        times = self.sae.unit(x)
        if self.how == "clamp":
            return (self.amount - self.sae.encode_one(x, self.feature)) * times * self.direction
        return self.amount * times * self.direction
