"""Lanes: many changed forwards that share one trunk.

A lane is what becomes of one row when some activations are overwritten. Nothing before the first
overwritten position and nothing below the first overwritten layer can change, so a lane leaves the
trunk there: it starts from the trunk's residual stream, reads the trunk's keys and values of
earlier positions, and joins a batch with all other lanes that are on their way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.capture.shared import SharedTrunk
from elicit.capture.trunk import CaptureError
from elicit.sites import Site

_BEFORE = frozenset({"resid_pre", "q", "k", "v"})
"""Kinds that attention of their own layer reads; the others act on their own position only."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Lanes:
    """Changed forwards to run: which row, which sites, which columns, and what is put there."""

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
        """Some of the lanes.

        Args:
            which: Their places.
        """
        return replace(
            self,
            row=self.row[which],
            low=self.low[which],
            high=self.high[which],
            group=self.group[which],
            source_row=self.source_row[which],
            scale=None if self.scale is None else self.scale[which],
        )

    def joins(self) -> Int[Tensor, " lane"]:
        """When each lane leaves the trunk: 2·layer, or 2·layer + 1 past that layer's attention."""
        first = [min(2 * s.layer + (s.kind not in _BEFORE) for s in sites) for sites in self.groups]
        return torch.tensor(first, device=self.group.device)[self.group]


@dataclass(frozen=True, eq=False, kw_only=True)
class Landed:
    """Where some lanes have arrived."""

    lane: Int[Tensor, " lane"]
    """Places among all lanes."""
    resid: Float[Tensor, "lane read d_model"]
    """Residual stream after the last layer, at the columns read."""


@dataclass(kw_only=True)
class Spent:
    """What lanes cost, counted as they fly."""

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

    def flops(self, trunk: SharedTrunk) -> float:
        """Multiplications and additions of all matrix products.

        Args:
            trunk: Gives the widths.
        """
        layer = trunk.anatomy.layers[0]
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
    """What a trunk must keep so that lanes can leave it at some sites.

    Args:
        groups: Sites that are overwritten together.
    """
    found: set[Site] = set()
    for site in (site.whole for sites in groups for site in sites):
        if site.kind not in ("resid_pre", "resid_post"):
            found.add(site)
        if site.kind in ("resid_mid", "mlp_out"):
            found.add(Site("attn_out", site.layer))
    return tuple(sorted(found))


def changed(
    trunk: SharedTrunk,
    lanes: Lanes,
    sources: Mapping[Site, Float[Tensor, "source pos ..."]],
    reads: Int[Tensor, "row read"],
) -> Bool[Tensor, " lane"]:
    """Lanes that can arrive anywhere else than the trunk did.

    A lane that overwrites every value with the same bits, that is read only before its first
    column, or that changes the last layer's output beside the columns read, cannot: its effect is
    0, not nearly 0, and it need not be run.

    Args:
        trunk: What lanes leave.
        lanes: All lanes.
        sources: What is put at each whole site.
        reads: Columns read, by row of the trunk.
    """
    return _can_move(trunk, lanes, _first_columns(trunk, lanes, sources), reads)


def worth_running(
    trunk: SharedTrunk,
    lanes: Lanes,
    sources: Mapping[Site, Float[Tensor, "source pos ..."]],
    reads: Int[Tensor, "row read"],
) -> "Departures":
    """Lanes that are `changed`, each leaving the trunk at the first column that really differs.

    Overwriting a value with the same bits changes nothing, so whatever stands before the first
    difference is the trunk's. Prompts that differ in one token share all columns before it.

    Args:
        trunk: What lanes leave.
        lanes: All lanes.
        sources: What is put at each whole site.
        reads: Columns read, by row of the trunk.
    """
    first = _first_columns(trunk, lanes, sources)
    place = _can_move(trunk, lanes, first, reads).nonzero()[:, 0]
    return Departures(lanes=replace(lanes, low=first).pick(place), place=place)


@dataclass(frozen=True, eq=False, kw_only=True)
class Departures:
    """The lanes among some that are worth running."""

    lanes: Lanes
    """They alone."""
    place: Int[Tensor, " departing"]
    """Place of each among all."""


def _can_move(
    trunk: SharedTrunk, lanes: Lanes, first: Int[Tensor, " lane"], reads: Int[Tensor, "row read"]
) -> Bool[Tensor, " lane"]:
    """Whether lanes that differ from some column on can be read to do so."""
    read = reads[lanes.row]
    alive = (first < trunk.n_pos) & (read >= first[:, None]).any(dim=1)
    last = trunk.anatomy.shape.n_layers - 1
    late = [
        all(site.layer == last and site.kind not in ("resid_pre", "k", "v") for site in sites)
        for sites in lanes.groups
    ]
    inside = ((read >= first[:, None]) & (read < lanes.high[:, None])).any(dim=1)
    alive &= inside | ~torch.tensor(late, device=inside.device)[lanes.group]
    return alive if lanes.scale is None else alive & (lanes.scale != 0)


def _first_columns(
    trunk: SharedTrunk, lanes: Lanes, sources: Mapping[Site, Float[Tensor, "source pos ..."]]
) -> Int[Tensor, " lane"]:
    """First column at which a lane puts other bits than the trunk has; `n_pos` if it never does."""
    found = torch.full_like(lanes.row, trunk.n_pos)
    column = torch.arange(trunk.n_pos, device=found.device)
    for number, sites in enumerate(lanes.groups):
        mine = (lanes.group == number).nonzero()[:, 0]
        if len(mine) == 0:
            continue
        for site in sites:
            source, own = sources[site.whole], trunk.value(site)
            if site.head is not None:
                source, own = source[:, :, site.head], own[:, :, site.head]
            for part in mine.split(max(1, _CHECKED // max(1, own[0].numel()))):
                some = lanes.pick(part)
                theirs, ours = source[some.source_row].flatten(2), own[some.row].flatten(2)
                unlike = (theirs != 0).any(-1) if lanes.add else (theirs != ours).any(-1)
                unlike &= (column >= some.low[:, None]) & (column < some.high[:, None])
                first = torch.where(unlike, column, trunk.n_pos).amin(dim=1)
                found[part] = torch.minimum(found[part], first)
    return found


_CHECKED = 1 << 24
"""Values compared at a time."""


def chunks(trunk: SharedTrunk, lanes: Lanes, max_tokens: int) -> Iterator[Int[Tensor, " lane"]]:
    """Lanes that fly together: those that leave at like positions, within a budget of tokens.

    Args:
        trunk: What lanes leave.
        lanes: All lanes.
        max_tokens: Most tokens in the air at once, at least 1; one lane always flies.

    Raises:
        CaptureError: `max_tokens` is below 1.
    """
    if max_tokens < 1:
        raise CaptureError(f"max_tokens is {max_tokens}, and a lane has at least 1. Pass more.")
    order = torch.argsort(
        lanes.low * (2 * trunk.anatomy.shape.n_layers + 2) + lanes.joins(), stable=True
    )
    sizes = (trunk.n_pos - lanes.low[order]).tolist()
    begin, used = 0, 0
    for place, size in enumerate(sizes):
        if place > begin and used + size > max_tokens:
            yield order[begin:place]
            begin, used = place, 0
        used += size
    if sizes:
        yield order[begin:]


def fly(
    trunk: SharedTrunk,
    lanes: Lanes,
    sources: Mapping[Site, Float[Tensor, "source pos ..."]],
    reads: Int[Tensor, "row read"],
    *,
    max_tokens: int = 8192,
    spent: Spent | None = None,
) -> Iterator[Landed]:
    """Run lanes in batches, each from where it leaves the trunk to the columns that are read.

    Args:
        trunk: What they leave; it must have kept `kept_sites(lanes.groups)`.
        lanes: Which rows, sites and columns; see `changed` for those not worth running.
        sources: What is put at each whole site; rows as in `lanes.source_row`, columns as in the
            trunk.
        reads: Columns read, by row of the trunk.
        max_tokens: Most tokens in the air at once: bounds memory, whatever the number of lanes.
        spent: Counts the work.

    Raises:
        CaptureError: A lane's columns are none of the trunk's.
    """
    from elicit.capture.flight import Flight

    if len(lanes) and bool(
        ((lanes.low < 0) | (lanes.high > trunk.n_pos) | (lanes.low >= lanes.high)).any()
    ):
        raise CaptureError(
            f"a lane overwrites columns outside 0 to {trunk.n_pos - 1}, or none, so it would "
            "change nothing. Pass columns of the batch."
        )
    for which in chunks(trunk, lanes, max_tokens):
        with torch.no_grad():
            resid = Flight(trunk, lanes.pick(which), sources, reads, spent or Spent()).run()
        yield Landed(lane=which, resid=resid)
