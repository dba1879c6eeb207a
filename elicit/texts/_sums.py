"""Sums over a layer's logits that are taken before these are overwritten."""

from dataclasses import dataclass

import torch
from torch import Tensor

from elicit.texts.predictions import FLOOR, Final


@dataclass(frozen=True, eq=False)
class LayerSums:
    """Statistics of a layer's logits against the final predictions, before overwriting."""

    final: Tensor
    watched: Tensor
    """Logit of the final prediction's first id, less the largest."""
    above: Tensor
    """Ids with a larger logit than it."""
    expected: Tensor
    """Mean of logit - largest under the final prediction."""
    lost: Tensor
    """Whether an id that the final prediction allows is impossible here."""

    @classmethod
    def of(cls, final: Final, z: Tensor, largest: Tensor) -> "LayerSums":
        """Empty sums of one block of logits."""
        n, device = z.shape[1], z.device
        return cls(
            final=final.probs,
            watched=(z.gather(0, final.top[None])[0] - largest).clamp(min=FLOOR),
            above=torch.zeros(n, dtype=torch.int64, device=device),
            expected=torch.zeros(n, dtype=torch.float64, device=device),
            lost=torch.zeros(n, dtype=torch.bool, device=device),
        )

    def look(self, s: Tensor, t: Tensor, start: int, *, masked: bool) -> None:
        """Add one tile, of logits less the largest."""
        beside = self.final[start : start + len(s)]
        if masked:
            self.lost.logical_or_(((s == -torch.inf) & (beside > 0)).any(0))
            s.clamp_(min=FLOOR)
        self.above.add_((s > self.watched).sum(0))
        self.expected.add_(torch.mul(beside, s, out=t).sum(0))
