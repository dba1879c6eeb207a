"""Tokens read layer by layer in the order of a search, each until its answer is known.

Most tokens are done after one layer, and the few that are not would make matrix products too thin
to run at any rate. So they are parked, with their final predictions, until those of several blocks
fill one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.revision.certificate import Certificate
from elicit.revision.convention import DepthConvention
from elicit.revision.lens import normed
from elicit.revision.reading import Final, tokens_per_block
from elicit.revision.readout import Readout
from elicit.revision.sides import Side
from elicit.revision.states import residual_states
from elicit.revision.traces import Traces

FEW = 4
"""Tokens are parked when fewer than one in this many of a full block are left."""


@dataclass(frozen=True)
class Search:
    """An order of layers, and at which the answer for a token is known."""

    layers: range
    """Layers in the order in which they are tried."""
    on_hit: bool
    """Whether a token leaves where it is settled, or where it is not."""
    found: dict[int, int]
    """Answer of a token that leaves at a layer."""
    otherwise: int
    """Answer of a token that never leaves."""
    proofs_from: int = 1
    """Step from which proofs are tried: where nearly all are settled they cost more than they
    spare."""


def search_of(convention: DepthConvention, n_layers: int, *, depths: bool) -> Search:
    """How the answers of a convention are found with the fewest layers.

    Args:
        convention: What settled and deep mean.
        n_layers: Blocks of the model.
        depths: Whether depths are asked for, or only what is deep.
    """
    first, late = convention.first_layer, convention.deep_from(n_layers)
    up, down = range(first, n_layers), range(n_layers - 1, first - 1, -1)
    if convention.reading == "first_hit":
        if depths:
            return Search(up, True, {layer: layer for layer in up}, n_layers, proofs_from=0)
        below = range(late - 1, first - 1, -1)
        return Search(below, True, dict.fromkeys(below, 0), 1)
    if depths:
        return Search(down, False, {layer: layer + 1 for layer in down}, first)
    above = range(late - 1, n_layers)
    return Search(above, False, dict.fromkeys(above, 1), 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Open:
    """Tokens whose answers are not known yet, one column each."""

    tokens: Int[Tensor, " some"]
    """Number of each in the chunk."""
    step: Int[Tensor, " some"]
    """Steps of the search that each has behind it."""
    guess: Int[Tensor, " some"]
    """Id that the next layer may predict: what the last one did, or the id just read."""
    final: Final
    """Their final predictions."""

    def only(self, columns: Int[Tensor, " few"], step: int, probs: Tensor) -> "_Open":
        """Some of them, after some steps; their probabilities are handed in."""
        final = self.final
        return _Open(
            tokens=self.tokens[columns],
            step=torch.full_like(columns, step),
            guess=self.guess[columns],
            final=Final(
                probs=probs,
                entropy=final.entropy[columns],
                top=final.top[columns],
                top_prob=final.top_prob[columns],
                log_norm=final.log_norm[columns],
            ),
        )


class EarlyReader:
    """Reads chunks of rows at as few layers as the answers need."""

    def __init__(
        self,
        side: Side,
        n_layers: int,
        convention: DepthConvention,
        *,
        depths: bool,
        certify: bool,
        budget: int,
    ) -> None:
        """Take the room.

        Args:
            side: The model.
            n_layers: Its blocks.
            convention: What settled and deep mean.
            depths: Whether depths are asked for, or only what is deep.
            certify: Whether proofs may spare readings.
            budget: Bytes that blocks of logits may take.
        """
        self.side, self.n_layers, self.convention = side, n_layers, convention
        self.search = search_of(convention, n_layers, depths=depths)
        itemsize = 8 if side.head.weight.dtype == torch.float64 else 4
        # Logits of one layer, final probabilities of a block, and those of the parked.
        self.n_tokens = tokens_per_block(
            side.head.d_vocab, budget=budget, buffers=3, itemsize=itemsize
        )
        self.room = Readout(side.head, self.n_tokens)
        self.probs, parked = torch.empty_like(self.room.flat), torch.empty_like(self.room.flat)
        self.parked_probs = parked.view(side.head.d_vocab, self.n_tokens)
        self.certificate = Certificate(side.head, nats=convention.nats) if certify else None
        self.capped = convention.norm == "once"

    @torch.no_grad()
    def read(self, traces: Traces, pad_id: int) -> dict[str, Tensor]:
        """Answers for one chunk, with the number of readings made and of readings spared.

        Args:
            traces: Rows that are run as one batch.
            pad_id: Id put where a row has no token.
        """
        self.states = residual_states(
            self.side.model, traces, n_layers=self.n_layers, pad_id=pad_id
        )
        n, device = self.states.shape[1], self.states.device
        ids = [
            row[p]
            for row, positions in zip(traces.rows, traces.positions, strict=True)
            for p in positions
        ]
        guess = torch.tensor(ids, device=device).clamp(0, self.side.head.d_vocab - 1)
        self.value = torch.full((n,), self.search.otherwise, device=device)
        self.counts = torch.zeros(2, dtype=torch.long)
        parked: list[_Open] = []
        for start in range(0, n, self.n_tokens):
            tokens = torch.arange(start, min(start + self.n_tokens, n), device=device)
            block = self._begun(tokens, guess[tokens])
            left, step = self._tried(block, few=self.n_tokens // FEW)
            if sum(len(each.tokens) for each in parked) + len(left) > self.n_tokens:
                self._finish(parked)
                parked = []
            if len(left):
                parked.append(self._parked(block, left, step, parked))
        self._finish(parked)
        del self.states
        return {"value": self.value.cpu(), "counts": self.counts}

    def _begun(self, tokens: Int[Tensor, " token"], guess: Int[Tensor, " token"]) -> _Open:
        """A block of tokens with their final predictions, before any layer was tried."""
        n = len(tokens)
        final = self.room.final(
            normed(self.side.own, self.states[-1, tokens], norm=self.convention.norm),
            self.probs[: self.side.head.d_vocab * n].view(-1, n),
            capped=self.capped,
        )
        return _Open(tokens=tokens, step=torch.zeros_like(tokens), guess=guess, final=final)

    def _tried(self, block: _Open, *, few: int) -> tuple[Int[Tensor, " left"], int]:
        """Try layer after layer until the answers of all but a few tokens are known.

        Returns:
            Columns that are still open, and the steps that they have behind them.
        """
        left = torch.arange(len(block.tokens), device=block.tokens.device)
        begun = False
        for step, layer in enumerate(self.search.layers):
            if len(left) <= few:
                return left, step
            now = left[block.step[left] <= step]
            if not len(now):
                continue
            certificate = self.certificate if step >= self.search.proofs_from else None
            if certificate is not None and not begun:
                certificate.begin(block.final)
                begun = True
            settled = self._settled(block, now, layer, certificate)
            leaves = now[settled == self.search.on_hit]
            self.value[block.tokens[leaves]] = self.search.found[layer]
            left = left[~torch.isin(left, leaves)]
        # What has tried every layer has the answer of those that never leave.
        return left[:0], len(self.search.layers)

    def _settled(
        self,
        block: _Open,
        now: Int[Tensor, " some"],
        layer: int,
        certificate: Certificate | None,
    ) -> Bool[Tensor, " some"]:
        """Whether each of some tokens is settled at a layer."""
        state = self._state(block.tokens[now], layer)
        settled = torch.zeros(len(now), dtype=torch.bool, device=now.device)
        asked = torch.arange(len(now), device=now.device)
        if certificate is not None:
            proven = certificate.not_settled(state, now, guess=block.guess[now], capped=self.capped)
            asked = asked[~proven]
        self.counts += torch.tensor([len(asked), len(now) - len(asked)])
        if not len(asked):
            return settled
        columns = now[asked]
        jsd = self.room.divergence(state[asked], block.final, columns, capped=self.capped)
        settled[asked] = jsd <= self.convention.nats
        if self.certificate is not None and not bool(settled[asked].all()):
            block.guess[columns] = self.room.first()
        return settled

    def _state(self, tokens: Int[Tensor, " some"], layer: int) -> Float[Tensor, "some d_model"]:
        """What the unembedding reads of some tokens at a layer."""
        state = self.side.lens.state(self.states[layer, tokens], layer=layer)
        norm = "none" if self.convention.norm == "none" else "once"
        return normed(self.side.head, state, norm=norm)

    def _parked(
        self, block: _Open, left: Int[Tensor, " left"], step: int, parked: list[_Open]
    ) -> _Open:
        """The tokens that are left of a block, their probabilities moved to where they can stay."""
        start = sum(len(each.tokens) for each in parked)
        place = self.parked_probs[:, start : start + len(left)]
        # Between two readings the room for logits is free.
        moved = self.room.flat[: place.numel()].view(place.shape)
        place.copy_(torch.index_select(block.final.probs, 1, left, out=moved))
        return block.only(left, step, place)

    def _finish(self, parked: list[_Open]) -> None:
        """Find the answers of all parked tokens."""
        if not parked:
            return

        def joined(name: str) -> Tensor:
            return torch.cat([getattr(each.final, name) for each in parked])

        n = sum(len(each.tokens) for each in parked)
        names = ("entropy", "top", "top_prob", "log_norm")
        final = Final(
            probs=self.parked_probs[:, :n], **{name: joined(name) for name in names}
        )  # fmt: skip
        together = _Open(
            tokens=torch.cat([each.tokens for each in parked]),
            step=torch.cat([each.step for each in parked]),
            guess=torch.cat([each.guess for each in parked]),
            final=final,
        )
        self._tried(together, few=0)
