"""Which lanes can change what is read at all."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.capture.engine.lanes import Lanes
from elicit.capture.engine.trunk import LaneTrunk
from elicit.sites import Site

_COMPARED = 1 << 24
"""Values compared at a time."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ActiveLanes:
    """The lanes among some that are worth running."""

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
    """
    return _can_move(trunk, lanes, _first_columns(trunk, lanes, sources), reads)


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
    first = _first_columns(trunk, lanes, sources)
    place = _can_move(trunk, lanes, first, reads).nonzero()[:, 0]
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
    alive &= inside | ~torch.tensor(late, device=inside.device)[lanes.group]
    return alive if lanes.scale is None else alive & (lanes.scale != 0)


def _first_columns(
    trunk: LaneTrunk, lanes: Lanes, sources: Mapping[Site, Float[Tensor, "source pos ..."]]
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
            for part in mine.split(max(1, _COMPARED // max(1, own[0].numel()))):
                some = lanes.pick(part)
                theirs, ours = source[some.source_row].flatten(2), own[some.row].flatten(2)
                unlike = (theirs != 0).any(-1) if lanes.add else (theirs != ours).any(-1)
                unlike &= (column >= some.low[:, None]) & (column < some.high[:, None])
                first = torch.where(unlike, column, trunk.n_pos).amin(dim=1)
                found[part] = torch.minimum(found[part], first)
    return found
