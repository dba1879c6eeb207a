"""Which lanes are active, and where in the batch they begin."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture.engine.indexes import Tokens
from elicit.capture.engine.lanes import Lanes


@dataclass(eq=False)
class Pack:
    """Lanes that left the trunk at the same column, so that they are a rectangle."""

    start: int
    """That column."""
    lane: Int[Tensor, " lane"]
    """In host memory."""
    row: Int[Tensor, " lane"]
    """Row of each in the trunk, on the trunk's device."""
    x: Float[Tensor, "lane pos d_model"]
    """Their residual stream from that column on."""


class Packs:
    """The packs of one batch of lanes, in the order in which they joined."""

    def __init__(self, lanes: Lanes, device: torch.device) -> None:
        """No lane is active yet; `device`: where the activations are."""
        self.lanes, self.device = lanes, device
        self._by_start: dict[int, Pack] = {}
        self._tokens: Tokens | None = None

    def __iter__(self) -> Iterator[Pack]:
        """One pack after the other."""
        return iter(self._by_start.values())

    def __len__(self) -> int:
        """Number of packs."""
        return len(self._by_start)

    def add(self, new: Pack) -> None:
        """Lanes that become active."""
        self._tokens = None
        pack = self._by_start.get(new.start)
        if pack is None:
            self._by_start[new.start] = new
            return
        pack.lane = torch.cat([pack.lane, new.lane])
        pack.row = torch.cat([pack.row, new.row])
        pack.x = torch.cat([pack.x, new.x])

    def tokens_of(self, lane: Int[Tensor, " token"], col: Int[Tensor, " token"]) -> Tokens:
        """Some tokens, by their lanes and columns."""
        return Tokens(lane, self.lanes.row[lane], col, self.device)

    def tokens(self) -> Tokens:
        """Every active token, pack by pack; the same until other lanes join."""
        if self._tokens is None:
            lane, col = [], []
            for pack in self:
                n, n_pos = pack.x.shape[:2]
                lane.append(pack.lane.repeat_interleave(n_pos))
                col.append(torch.arange(pack.start, pack.start + n_pos).repeat(n))
            self._tokens = self.tokens_of(torch.cat(lane), torch.cat(col))
        return self._tokens
