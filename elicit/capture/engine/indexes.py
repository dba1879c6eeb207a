"""Indices: settled in host memory, used where the activations are."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from elicit.pair import without_waiting


def sent(device: torch.device, *values: Shaped[Tensor, "..."]) -> list[Shaped[Tensor, "..."]]:
    """Values of one kind, such as indices, on a device: one copy that the host does not wait for.

    Args:
        device: Where they are used.
        values: In host memory.
    """
    if device.type == "cpu":
        return list(values)
    flat = without_waiting(torch.cat([each.flatten() for each in values]), device)
    parts = flat.split([each.numel() for each in values])
    return [part.view(each.shape) for part, each in zip(parts, values, strict=True)]


@dataclass(frozen=True, eq=False)
class Tokens:
    """Some tokens of some lanes, lane by lane; in host memory."""

    lane: Int[Tensor, " token"]
    """Lane of each."""
    row: Int[Tensor, " token"]
    """Its row of the trunk."""
    col: Int[Tensor, " token"]
    """Its column in the batch."""
    device: torch.device
    """Where the activations are."""

    def pick(self, which: Int[Tensor, " picked"]) -> "Tokens":
        """Some of the tokens."""
        return Tokens(self.lane[which], self.row[which], self.col[which], self.device)

    @cached_property
    def there(self) -> tuple[Int[Tensor, " token"], Int[Tensor, " token"]]:
        """Row and column of each, where the activations are."""
        row, col = sent(self.device, self.row, self.col)
        return row, col
