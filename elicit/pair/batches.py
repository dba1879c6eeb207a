"""Rows of token ids as one padded batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from elicit.pair.errors import PairError


@dataclass(frozen=True, eq=False)
class Encoded:
    """Token ids of a batch, with what every forward needs beside them."""

    ids: Int[Tensor, "batch pos"]
    """Token ids; rows shorter than the longest are padded."""
    mask: Int[Tensor, "batch pos"]
    """1 at tokens, 0 at padding."""
    position_ids: Int[Tensor, "batch pos"]
    """Position of each token in its own row, so that padding shifts nothing."""

    @property
    def real(self) -> Bool[Tensor, "batch pos"]:
        """Where there is a token and not padding."""
        return self.mask.bool()

    @property
    def lengths(self) -> Int[Tensor, " batch"]:
        """Tokens in each row, padding not counted."""
        return self.mask.sum(-1)

    def to(self, device: str | torch.device) -> "Encoded":
        """The same batch on another device.

        Args:
            device: A torch device.
        """
        return Encoded(self.ids.to(device), self.mask.to(device), self.position_ids.to(device))

    def __len__(self) -> int:
        """Rows in the batch."""
        return len(self.ids)


def pad(
    rows: Sequence[Sequence[int]], *, pad_id: int, padding: Literal["left", "right"] = "left"
) -> Encoded:
    """Rows of token ids as one batch with mask and position ids.

    Args:
        rows: Token ids of each row; at least one row, no row empty.
        pad_id: Id put where a row has no token.
        padding: Side that is filled up: left to generate or to read the last position of all rows.

    Raises:
        PairError: There is no row, or a row has no token.
    """
    if not rows:
        raise PairError("There are no rows to put into a batch. Pass at least one text.")
    for index, row in enumerate(rows):
        if not row:
            raise PairError(
                f"Row {index} has no token, so a model has nothing to read there. Leave that text "
                "out."
            )
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        where = slice(longest - len(row), longest) if padding == "left" else slice(0, len(row))
        ids[index, where] = torch.tensor(row, dtype=torch.long)
        mask[index, where] = 1
    return Encoded(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0))
