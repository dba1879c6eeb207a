"""Which lanes can change what is read at all."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.capture.engine.indexes import sent
from elicit.capture.engine.lanes import Lanes
from elicit.capture.engine.trunk import LaneTrunk
from elicit.sites import Site

_COMPARED = 1 << 24
"""Values compared at a time."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ActiveLanes:
    """The lanes among some that are worth running; in host memory."""

    lanes: Lanes
    """They alone."""
    place: Int[Tensor, " departing"]
    """Place of each among all."""


def changed(
    trunk: LaneTrunk,
    lanes: Lanes,
    sources: Mapping[Site, Float[Tensor, "source pos ..."]],
    reads: Int[Tensor, "row read"],
) -> Bool[Tensor, " lane"]:
    """Lanes that can arrive anywhere else than the trunk did.

    A lane that overwrites every value with the same bits, that is read only before its first
    column, or that changes the last layer's output beside the columns read, cannot: its effect is
    0, not nearly 0, and it need not be run.

    Args:
        trunk: The trunk that lanes leave.
        lanes: All lanes.
        sources: What is put at each whole site.
        reads: Columns read, by row of the trunk.

    Returns:
        In host memory.
    """
    lanes = lanes.on_host()
    return _can_move(trunk, lanes, _first_columns(trunk, lanes, sources), reads.cpu())


def active_lanes(
    trunk: LaneTrunk,
    lanes: Lanes,
    sources: Mapping[Site, Float[Tensor, "source pos ..."]],
    reads: Int[Tensor, "row read"],
) -> ActiveLanes:
    """Lanes that are `changed`, each leaving the trunk at the first column that really differs.

    Overwriting a value with the same bits changes nothing, so whatever stands before the first
    difference is the trunk's. Prompts that differ in one token share all columns before it.

    Args:
        trunk: The trunk that lanes leave.
        lanes: All lanes.
        sources: What is put at each whole site.
        reads: Columns read, by row of the trunk.
    """
    lanes = lanes.on_host()
    first = _first_columns(trunk, lanes, sources)
    place = _can_move(trunk, lanes, first, reads.cpu()).nonzero()[:, 0]
    return ActiveLanes(lanes=replace(lanes, low=first).pick(place), place=place)


def _can_move(
    trunk: LaneTrunk, lanes: Lanes, first: Int[Tensor, " lane"], reads: Int[Tensor, "row read"]
) -> Bool[Tensor, " lane"]:
    """Whether lanes that differ from some column on can be read to do so."""
    read = reads[lanes.row]
    alive = (first < trunk.n_pos) & (read >= first[:, None]).any(dim=1)
    last = trunk.decomposed.shape.n_layers - 1
    late = [
        all(site.layer == last and site.kind not in ("resid_pre", "k", "v") for site in sites)
        for sites in lanes.groups
    ]
    inside = ((read >= first[:, None]) & (read < lanes.high[:, None])).any(dim=1)
    alive &= inside | ~torch.tensor(late)[lanes.group]
    return alive if lanes.scale is None else alive & (lanes.scale != 0)


def _first_columns(
    trunk: LaneTrunk, lanes: Lanes, sources: Mapping[Site, Float[Tensor, "source pos ..."]]
) -> Int[Tensor, " lane"]:
    """First column at which a lane puts other bits than the trunk has; `n_pos` if it never does."""
    device = trunk.resid[0].device
    # Group by group, so that the lanes of a group are a part of what is sent once.
    order = torch.argsort(lanes.group, stable=True)
    sizes = torch.bincount(lanes.group, minlength=len(lanes.groups)).tolist()
    some = lanes.pick(order)
    sent_once = sent(device, some.row, some.source_row, some.low, some.high)
    by_group = zip(*(each.split(sizes) for each in sent_once), strict=True)
    column = torch.arange(trunk.n_pos, device=device)
    found: list[Tensor] = []
    for sites, mine in zip(lanes.groups, by_group, strict=True):
        if len(mine[0]) == 0:
            continue
        own = [_of_site(trunk.value(site), site) for site in sites]
        put = [_of_site(sources[site.whole], site) for site in sites]
        room = max(1, _COMPARED // max(1, *(each[0].numel() for each in own)))
        for row, source_row, low, high in zip(*(each.split(room) for each in mine), strict=True):
            inside = (column >= low[:, None]) & (column < high[:, None])
            unlike = torch.zeros_like(inside)
            for ours, theirs in zip(own, put, strict=True):
                given = theirs[source_row].flatten(2)
                unlike |= ((given != 0) if lanes.add else (given != ours[row].flatten(2))).any(-1)
            found.append(torch.where(unlike & inside, column, trunk.n_pos).amin(dim=1))
    first = torch.full_like(lanes.row, trunk.n_pos)
    if found:
        first[order] = torch.cat(found).cpu()
    return first


def _of_site(value: Float[Tensor, "row pos ..."], site: Site) -> Float[Tensor, "row pos ..."]:
    """The part of a whole site's activation that a site names."""
    return value if site.head is None else value[:, :, site.head]
