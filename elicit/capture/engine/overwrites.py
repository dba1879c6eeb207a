"""The writes of lanes: values put in place of the activations computed."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture.engine.indexes import Tokens, sent
from elicit.capture.engine.lanes import Lanes
from elicit.sites import Kind, Site


class Overwrites:
    """The writes of some lanes, by kind and layer."""

    def __init__(self, lanes: Lanes, sources: Mapping[Site, Tensor], device: torch.device) -> None:
        """See `run_lanes` for the arguments; `device`: where the activations are."""
        self.lanes, self.sources, self.device = lanes, sources, device
        self.tables = self._tables()
        self.scale = None if lanes.scale is None else sent(device, lanes.scale)[0]

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
            hit = (head > -2) & inside
            by_head = hit & (head >= 0) if value.ndim == 3 else torch.zeros_like(hit)
            self._put(value, Site(kind, layer), tokens, (hit & ~by_head).nonzero()[:, 0], None)
            self._put(value, Site(kind, layer), tokens, by_head.nonzero()[:, 0], head)
        return value

    def _put(
        self,
        value: Float[Tensor, "token ..."],
        site: Site,
        tokens: Tokens,
        hit: Int[Tensor, " hit"],
        head: Int[Tensor, " token"] | None,
    ) -> None:
        """Put a whole site's source at some tokens, or each token's head of it."""
        if len(hit) == 0:
            return
        lane, source = tokens.lane[hit], self.sources[site]
        heads = [] if head is None else [head[hit]]
        hit, lane, row, col, *heads = sent(
            self.device, hit, lane, self.lanes.source_row[lane], tokens.col[hit], *heads
        )
        value[(hit, *heads)] = self._mixed(value[(hit, *heads)], source[(row, col, *heads)], lane)

    def _mixed(self, own: Tensor, given: Tensor, lane: Tensor) -> Tensor:
        """The value that replaces a lane's own."""
        given = given.to(own.dtype)
        if self.scale is None:
            return own + given if self.lanes.add else given
        scale = self.scale[lane].to(own.dtype).reshape(-1, *[1] * (own.ndim - 1))
        return own + scale * (given if self.lanes.add else given - own)
