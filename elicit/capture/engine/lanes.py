"""Lanes: many changed forwards that share one trunk.

A lane is what becomes of one row when some activations are overwritten. Nothing before the first
overwritten position and nothing below the first overwritten layer can change, so a lane leaves the
trunk there: it starts from the trunk's residual stream, reads the trunk's keys and values of
earlier positions, and joins a batch with the other lanes that are active at that layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture.engine.trunk import LaneTrunk
from elicit.sites import Site

_BEFORE = frozenset({"resid_pre", "q", "k", "v"})
"""Kinds that attention of their own layer reads; the others act on their own position only."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Lanes:
    """Changed forwards to run: which row, which sites, which columns, and what is put there.

    In host memory, wherever the trunk is: a device is asked for nothing while lanes join and leave.
    """

    row: Int[Tensor, " lane"]
    """Row of the trunk that is changed."""
    low: Int[Tensor, " lane"]
    """First column overwritten."""
    high: Int[Tensor, " lane"]
    """Column after the last one overwritten."""
    group: Int[Tensor, " lane"]
    """Which of `groups` is overwritten."""
    groups: tuple[tuple[Site, ...], ...]
    """Sites that are overwritten together: one, or a window of layers."""
    source_row: Int[Tensor, " lane"]
    """Row of the sources that is put there; columns correspond."""
    scale: Float[Tensor, " lane"] | None = None
    """How far to go from the lane's own value to the source's; None goes all the way."""
    add: bool = False
    """Whether the source, times `scale`, is added instead."""

    def __len__(self) -> int:
        """Number of lanes."""
        return len(self.row)

    def pick(self, which: Int[Tensor, " picked"]) -> "Lanes":
        """Some of the lanes."""
        return replace(
            self,
            row=self.row[which],
            low=self.low[which],
            high=self.high[which],
            group=self.group[which],
            source_row=self.source_row[which],
            scale=None if self.scale is None else self.scale[which],
        )

    def on_host(self) -> "Lanes":
        """The same lanes in host memory; those that are there already are copied nowhere."""
        return replace(
            self,
            row=self.row.cpu(),
            low=self.low.cpu(),
            high=self.high.cpu(),
            group=self.group.cpu(),
            source_row=self.source_row.cpu(),
            scale=None if self.scale is None else self.scale.cpu(),
        )

    def joins(self) -> Int[Tensor, " lane"]:
        """When each lane leaves the trunk: 2·layer, or 2·layer + 1 past that layer's attention."""
        first = [min(2 * s.layer + (s.kind not in _BEFORE) for s in sites) for sites in self.groups]
        return torch.tensor(first)[self.group]


@dataclass(frozen=True, eq=False, kw_only=True)
class LaneResult:
    """What some lanes have computed."""

    lane: Int[Tensor, " lane"]
    """Indices among all lanes, in host memory."""
    resid: Float[Tensor, "lane read d_model"]
    """Residual stream after the last layer, at the columns read."""


@dataclass(kw_only=True)
class Work:
    """Work done by lanes, counted as they run."""

    project: int = 0
    """Tokens through key and value projections."""
    query: int = 0
    """Tokens through query projections."""
    pairs: int = 0
    """Pairs of a query and a key, in all heads together once."""
    write: int = 0
    """Tokens through output projections."""
    mlp: int = 0
    """Tokens through MLPs."""

    def flops(self, trunk: LaneTrunk) -> float:
        """Multiplications and additions of all matrix products."""
        layer = trunk.decomposed.layers[0]
        shape = layer.shape
        d_mlp = layer.down.weight.numel() / shape.d_model  # pyright: ignore[reportCallIssue]
        wide = shape.n_heads * shape.d_head
        narrow = shape.n_kv_heads * shape.d_head
        mlp = (2 if layer.gate is None else 3) * shape.d_model * d_mlp
        return 2.0 * (
            self.project * 2 * shape.d_model * narrow
            + self.query * shape.d_model * wide
            + self.pairs * 2 * wide
            + self.write * shape.d_model * wide
            + self.mlp * mlp
        )


def kept_sites(groups: Sequence[tuple[Site, ...]]) -> tuple[Site, ...]:
    """What a trunk must keep so that lanes can leave it at some sites."""
    found: set[Site] = set()
    for site in (site.whole for sites in groups for site in sites):
        if site.kind not in ("resid_pre", "resid_post"):
            found.add(site)
        if site.kind in ("resid_mid", "mlp_out"):
            found.add(Site("attn_out", site.layer))
    return tuple(sorted(found))
