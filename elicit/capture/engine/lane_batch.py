"""One batch of lanes, run through all layers.

Which lane is where is settled in host memory; a device gets indices and is never waited for.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.capture.engine.indexes import Tokens, sent
from elicit.capture.engine.lanes import Lanes, Work
from elicit.capture.engine.overwrites import Overwrites
from elicit.capture.engine.packs import Pack, Packs
from elicit.capture.engine.trunk import LaneTrunk, gather_rows
from elicit.sites import Kind, Site


class LaneBatch:
    """Lanes that run together; made for one `run`."""

    def __init__(
        self,
        trunk: LaneTrunk,
        lanes: Lanes,
        sources: Mapping[Site, Tensor],
        reads: Int[Tensor, "row read"],
        work: Work,
    ) -> None:
        """See `run_lanes` for the arguments; lanes and reads are in host memory."""
        self.trunk, self.lanes, self.work = trunk, lanes, work
        self.device = trunk.resid[0].device
        self.reads = reads[lanes.row]
        self.n_layers = trunk.decomposed.shape.n_layers
        self.joins = lanes.joins()
        self.writes = Overwrites(lanes, sources, self.device)
        self.packs = Packs(lanes, self.device)
        row, reads = sent(self.device, lanes.row, self.reads)
        self.final = trunk.resid[-1][row[:, None], reads]

    def run(self) -> Float[Tensor, "lane read d_model"]:
        """All layers; returns the residual stream at the columns read."""
        for layer in range(self.n_layers):
            self._join(self.joins == 2 * layer, self.trunk.resid[layer])
            past = (self.joins == 2 * layer + 1).nonzero()[:, 0]
            if self.packs:
                if layer == self.n_layers - 1:
                    self._last(layer)
                else:
                    self._layer(layer)
            if len(past):
                self._past_attention(layer, past)
        return self.final

    def _join(self, which: Tensor, resid: Tensor) -> None:
        """Lanes leave the trunk's residual stream with all their columns."""
        joining = which.nonzero()[:, 0]
        for start in torch.unique(self.lanes.low[joining]).tolist():
            mine = joining[self.lanes.low[joining] == start]
            (row,) = sent(self.device, self.lanes.row[mine])
            self.packs.add(Pack(start, mine, row, resid[row, start:]))

    def _angles(self, layer: int, tokens: Tokens) -> tuple[Tensor | None, Tensor | None]:
        cos, sin = self.trunk.inputs.angles(layer)
        if cos is None or sin is None:
            return None, None
        row, col = tokens.there
        if cos.shape[0] == 1:
            return cos[0, col], sin[0, col]
        return cos[row, col], sin[row, col]

    def _enter(self, layer: int) -> tuple[Tokens, Tensor, Tensor, Tensor]:
        """The stream, and keys and values of every active token."""
        part, trunk = self.trunk.decomposed.layers[layer], self.trunk
        tokens = self.packs.tokens()
        x = torch.cat([pack.x.flatten(0, 1) for pack in self.packs])
        x = self.writes.write("resid_pre", layer, x, tokens)
        some, new = self._new(layer, tokens)
        normed = part.norm_attn(x if new is None else x[new])
        k = self.writes.write("k", layer, part.key(normed), some)
        k = part.turn(k, part.k_norm, *self._angles(layer, some))
        v = self.writes.write("v", layer, part.value(normed), some)
        self.work.project += len(normed)
        if new is not None:
            k = self._merge(trunk.k[layer], tokens, new, k)
            v = self._merge(trunk.v[layer], tokens, new, v)
        return tokens, x, k, v

    def _queries(self, layer: int, x: Tensor, tokens: Tokens) -> Tensor:
        part = self.trunk.decomposed.layers[layer]
        some, new = self._new(layer, tokens)
        q = part.query(part.norm_attn(x if new is None else x[new]))
        q = part.turn(
            self.writes.write("q", layer, q, some), part.q_norm, *self._angles(layer, some)
        )
        self.work.query += len(q)
        return q if new is None else self._merge(self.trunk.q[layer], tokens, new, q)

    def _new(self, layer: int, tokens: Tokens) -> tuple[Tokens, Int[Tensor, " token"] | None]:
        """Tokens whose input to the layer differs from the trunk's, and their places among all.

        In the layer at which a lane leaves the trunk, only what it overwrites has changed. The
        places are on the device; None where they are all.
        """
        lanes = self.lanes
        same = (self.joins == 2 * layer)[tokens.lane] & (tokens.col >= lanes.high[tokens.lane])
        if not bool(same.any()):
            return tokens, None
        new = (~same).nonzero()[:, 0]
        return tokens.pick(new), sent(self.device, new)[0]

    def _merge(self, kept: Tensor, tokens: Tokens, new: Tensor, value: Tensor) -> Tensor:
        """The trunk's values with the new ones put in."""
        whole = kept[tokens.there]
        whole[new] = value
        return whole

    def _attend(
        self, layer: int, queries: list[Tensor], k: Tensor, v: Tensor, columns: list[Tensor] | None
    ) -> Tensor:
        """Mixed values of the queries of each pack, over the trunk's keys and the lanes'.

        `columns`: column of each query `[lane dest]`, on the device; None where they are all of the
        pack's.
        """
        part = self.trunk.decomposed.layers[layer]
        allowed = self.trunk.inputs.allowed[layer]
        mixed, begin = [], 0
        for index, (pack, q) in enumerate(zip(self.packs, queries, strict=True)):
            n, n_pos = pack.x.shape[:2]
            end, row = begin + n * n_pos, pack.row
            seen = []
            for kept, new in ((self.trunk.k[layer], k), (self.trunk.v[layer], v)):
                new = new[begin:end].unflatten(0, (n, n_pos))
                before = gather_rows(kept[:, : pack.start], row)
                seen.append(torch.cat([before, new], dim=1) if pack.start else new)
            if columns is None:
                mask = gather_rows(allowed, row)[:, pack.start :]
                mask = mask[:1] if allowed.shape[0] == 1 else mask
            else:
                at = row if allowed.shape[0] > 1 else torch.zeros_like(row)
                mask = allowed[at[:, None], columns[index]]
            mixed.append(part.attend(q, seen[0], seen[1], mask).flatten(0, 1))
            self.work.pairs += q.shape[0] * q.shape[1] * seen[0].shape[1]
            begin = end
        return torch.cat(mixed)

    def _leave(
        self, layer: int, x: Tensor, z: Tensor, tokens: Tokens
    ) -> Float[Tensor, "token d_model"]:
        """From mixed values to the stream after the layer."""
        part = self.trunk.decomposed.layers[layer]
        attn_out = part.write_attn(self.writes.write("z", layer, z, tokens))
        attn_out = self.writes.write("attn_out", layer, attn_out, tokens)
        middle = self.writes.write("resid_mid", layer, x + attn_out, tokens)
        self.work.write += len(x)
        return self._after_attention(layer, x if part.shape.parallel else middle, middle, tokens)

    def _after_attention(
        self, layer: int, read: Tensor, middle: Tensor, tokens: Tokens
    ) -> Float[Tensor, "token d_model"]:
        mlp_out = self.trunk.decomposed.layers[layer].write_mlp(read)
        self.work.mlp += len(read)
        mlp_out = self.writes.write("mlp_out", layer, mlp_out, tokens)
        return self.writes.write("resid_post", layer, middle + mlp_out, tokens)

    def _layer(self, layer: int) -> None:
        """One layer for every active token."""
        tokens, x, k, v = self._enter(layer)
        q = self._queries(layer, x, tokens)
        sizes = [pack.x.shape[0] * pack.x.shape[1] for pack in self.packs]
        queries = [
            part.unflatten(0, tuple(pack.x.shape[:2]))
            for pack, part in zip(self.packs, q.split(sizes), strict=True)
        ]
        z = self._attend(layer, queries, k, v, None)
        x = self._leave(layer, x, z, tokens)
        for pack, part in zip(self.packs, x.split(sizes), strict=True):
            pack.x = part.unflatten(0, tuple(pack.x.shape[:2]))

    def _last(self, layer: int) -> None:
        """The last layer: keys and values of all tokens, the rest only where it is read."""
        tokens, x, k, v = self._enter(layer)
        n_read = self.reads.shape[1]
        begin, places, lanes, columns = 0, [], [], []
        for pack in self.packs:
            n, own = pack.x.shape[:2]
            col = self.reads[pack.lane].clamp(min=pack.start)
            first = begin + own * torch.arange(n)
            places.append((first[:, None] + col - pack.start).flatten())
            lanes.append(pack.lane)
            columns.append(col)
            begin += n * own
        place = torch.cat(places)
        lane = torch.cat(lanes)
        # A column before a lane's first is the trunk's, which `final` already holds.
        reached = self.reads[lane] >= self.lanes.low[lane, None]
        read = tokens.pick(place)
        place, lane, reached, *columns = sent(self.device, place, lane, reached.long(), *columns)
        x = x[place]
        q = self._queries(layer, x, read)
        sizes = [len(each) for each in places]
        queries = [
            part.unflatten(0, (len(each), n_read))
            for part, each in zip(q.split(sizes), lanes, strict=True)
        ]
        z = self._attend(layer, queries, k, v, columns)
        out = self._leave(layer, x, z, read).unflatten(0, (len(lane), n_read))
        self.final[lane] = torch.where(reached[..., None] > 0, out, self.final[lane])

    def _past_attention(self, layer: int, lane: Int[Tensor, " lane"]) -> None:
        """Lanes that overwrite what comes after attention: only their own columns change here."""
        length = self.lanes.high[lane] - self.lanes.low[lane]
        spans = zip(self.lanes.low[lane].tolist(), self.lanes.high[lane].tolist(), strict=True)
        columns = torch.cat([torch.arange(low, high) for low, high in spans])
        tokens = self.packs.tokens_of(lane.repeat_interleave(length), columns)
        last = layer == self.n_layers - 1
        if last:
            is_read = (self.reads[tokens.lane] == tokens.col[:, None]).any(dim=1)
            tokens = tokens.pick(is_read.nonzero()[:, 0])
        resid = self._changed(layer, tokens)
        if last:
            own, read = (self.reads[tokens.lane] == tokens.col[:, None]).nonzero().unbind(1)
            own, lane, read = sent(self.device, own, tokens.lane[own], read)
            self.final[lane, read] = resid[own]
            return
        at = torch.empty(len(self.lanes), dtype=torch.long)
        for start in torch.unique(self.lanes.low[lane]).tolist():
            mine = lane[self.lanes.low[lane] == start]
            at[mine] = torch.arange(len(mine))
            own = (self.lanes.low[tokens.lane] == start).nonzero()[:, 0]
            row, own, place, col = sent(
                self.device,
                self.lanes.row[mine], own, at[tokens.lane[own]], tokens.col[own] - start,
            )  # fmt: skip
            x = self.trunk.resid[layer + 1][row, start:]
            x[place, col] = resid[own]
            self.packs.add(Pack(start, mine, row, x))

    def _changed(self, layer: int, tokens: Tokens) -> Float[Tensor, "token d_model"]:
        """The stream after a layer at overwritten tokens, from the first overwritten kind on."""
        kinds: list[Kind] = ["z", "attn_out", "resid_mid", "mlp_out", "resid_post"]
        first = self.writes.first(kinds, layer)[tokens.lane]
        out = self.trunk.resid[layer + 1][tokens.there]
        for place in torch.unique(first).tolist():
            which = (first == place).nonzero()[:, 0]
            some = tokens.pick(which)
            (which,) = sent(self.device, which)
            out[which] = self._changed_from(kinds[place], layer, some, out[which])
        return out

    def _changed_from(self, kind: Kind, layer: int, tokens: Tokens, post: Tensor) -> Tensor:
        """The same where the first overwritten kind is one and the same."""

        def kept(name: Kind) -> Tensor:
            return self.trunk.value(Site(name, layer))[tokens.there]

        if kind == "resid_post":
            return self.writes.write("resid_post", layer, post, tokens)
        x = kept("resid_pre")
        if kind == "z":
            return self._leave(layer, x, kept("z"), tokens)
        attn_out = self.writes.write("attn_out", layer, kept("attn_out"), tokens)
        middle = self.writes.write("resid_mid", layer, x + attn_out, tokens)
        if kind == "mlp_out":
            mlp_out = self.writes.write("mlp_out", layer, kept("mlp_out"), tokens)
            return self.writes.write("resid_post", layer, middle + mlp_out, tokens)
        parallel = self.trunk.decomposed.shape.parallel
        return self._after_attention(layer, x if parallel else middle, middle, tokens)
