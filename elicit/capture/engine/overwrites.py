"""The writes of lanes: values put in place of the activations computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture.engine.lanes import Lanes
from elicit.sites import Kind, Site


@dataclass(frozen=True, eq=False)
class Tokens:
    """Some tokens of some lanes, lane by lane."""

    lane: Int[Tensor, " token"]
    """Lane of each."""
    col: Int[Tensor, " token"]
    """Its column in the batch."""


class Overwrites:
    """The writes of some lanes, by kind and layer."""

    def __init__(self, lanes: Lanes, sources: Mapping[Site, Tensor]) -> None:
        """See `elicit.capture.engine.lanes.fly` for the arguments."""
        self.lanes, self.sources = lanes, sources
        self.tables = self._tables()

    def _tables(self) -> dict[tuple[Kind, int], list[Tensor]]:
        """By kind and layer: the head that each lane overwrites; -1 all heads, -2 nothing.

        A second table for a kind and layer stands for lanes that overwrite two heads of it.
        """
        found: dict[tuple[Kind, int], list[Tensor]] = {}
        for number in torch.unique(self.lanes.group).tolist():
            mine = self.lanes.group == number
            seen: dict[tuple[Kind, int], int] = {}
            for site in self.lanes.groups[number]:
                key = (site.kind, site.layer)
                tables = found.setdefault(key, [])
                depth = seen[key] = seen.get(key, -1) + 1
                if len(tables) <= depth:
                    tables.append(torch.full_like(self.lanes.group, -2))
                tables[depth][mine] = -1 if site.head is None else site.head
        return found

    def first(self, kinds: Sequence[Kind], layer: int) -> Int[Tensor, " lane"]:
        """Index, among some kinds of a layer, of the first that each lane overwrites.

        Returns:
            `len(kinds)` for lanes that overwrite none of them.
        """
        found = torch.full_like(self.lanes.group, len(kinds))
        for place in reversed(range(len(kinds))):
            for table in self.tables.get((kinds[place], layer), ()):
                found[table > -2] = place
        return found

    def write(
        self, kind: Kind, layer: int, value: Float[Tensor, "token ..."], tokens: Tokens
    ) -> Float[Tensor, "token ..."]:
        """Overwrite, in place, what the lanes overwrite at a site.

        `value`: freshly computed; nobody else may hold it.
        """
        lanes = self.lanes
        for table in self.tables.get((kind, layer), ()):
            head = table[tokens.lane]
            inside = (tokens.col >= lanes.low[tokens.lane]) & (tokens.col < lanes.high[tokens.lane])
            hit = ((head > -2) & inside).nonzero()[:, 0]
            if len(hit) == 0:
                continue
            lane, col, head = tokens.lane[hit], tokens.col[hit], head[hit]
            source = self.sources[Site(kind, layer)]
            if value.ndim == 3:
                one = head >= 0
                for some, at in ((one, head[one]), (~one, None)):
                    where = hit[some]
                    row, column = lanes.source_row[lane[some]], col[some]
                    if at is None:
                        given, own = source[row, column], value[where]
                        value[where] = self._mixed(own, given, lane[some])
                    else:
                        given, own = source[row, column, at], value[where, at]
                        value[where, at] = self._mixed(own, given, lane[some])
            else:
                given = source[lanes.source_row[lane], col]
                value[hit] = self._mixed(value[hit], given, lane)
        return value

    def _mixed(self, own: Tensor, given: Tensor, lane: Tensor) -> Tensor:
        """The value that replaces a lane's own."""
        given = given.to(own.dtype)
        if self.lanes.scale is None:
            return own + given if self.lanes.add else given
        scale = self.lanes.scale[lane].to(own.dtype).reshape(-1, *[1] * (own.ndim - 1))
        return own + scale * (given if self.lanes.add else given - own)
