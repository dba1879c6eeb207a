"""Layer-by-layer search that stops for each token once its answer is known.

Most tokens are done after one layer; the remaining few would make inefficiently thin matrix
products. They are parked, with their final predictions, until those of several blocks fill one.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.revision._early_bounds import EarlyBounds
from elicit.revision._readers import Reader
from elicit.revision.convention import DepthConvention
from elicit.revision.lens import normed
from elicit.texts import Final, LogitBuffers, TokenRows

FEW = 4
"""Tokens are parked when fewer than 1 / this of a full block are left."""


@dataclass(frozen=True)
class Search:
    """Order of layers, and stopping rule."""

    layers: range
    """Layers in search order."""
    on_hit: bool
    """Whether a token stops at a settled or at an unsettled layer."""
    answer: dict[int, int]
    """Answer of a token that stops at each layer."""
    otherwise: int
    """Answer of a token that never stops."""
    bounds_from: int = 1
    """First step that uses bounds; where nearly all tokens are settled, bounds cost more than they
    save."""


def search_of(convention: DepthConvention, n_layers: int, *, depths: bool) -> Search:
    """Search order that answers a convention with the fewest readings.

    `depths`: whether depths are needed, or only whether a token is deep.
    """
    first, late = convention.first_layer, convention.deep_from(n_layers)
    up, down = range(first, n_layers), range(n_layers - 1, first - 1, -1)
    if convention.reading == "first_hit":
        if depths:
            return Search(up, True, {layer: layer for layer in up}, n_layers, bounds_from=0)
        below = range(late - 1, first - 1, -1)
        return Search(below, True, dict.fromkeys(below, 0), 1)
    if depths:
        return Search(down, False, {layer: layer + 1 for layer in down}, first)
    above = range(late - 1, n_layers)
    return Search(above, False, dict.fromkeys(above, 1), 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Open:
    """Tokens without an answer yet, one column each."""

    tokens: Int[Tensor, " some"]
    """Index of each token in the chunk."""
    step: Int[Tensor, " some"]
    """Completed search steps of each token."""
    guess: Int[Tensor, " some"]
    """Likely prediction of the next layer: the last layer's, or the id just read."""
    final: Final
    """Final predictions of the tokens."""

    def only(self, columns: Int[Tensor, " few"], step: int, probs: Tensor) -> "_Open":
        """A subset of the tokens after some steps, with their probabilities."""
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
    """Reads chunks of rows at the fewest layers that determine the answers."""

    def __init__(
        self,
        reader: Reader,
        convention: DepthConvention,
        *,
        depths: bool,
        certify: bool,
        memory: int,
    ) -> None:
        """Allocate the buffers.

        `certify`: whether to use bounds to save readings. `memory`: memory for blocks of logits,
        bytes.
        """
        self.reader, self.convention = reader, convention
        self.search = search_of(convention, reader.n_layers, depths=depths)
        # Logits of one layer, final probabilities of a block, and of the parked tokens.
        self.buffers = LogitBuffers([reader.unembed], n_finals=2, memory=memory)
        self.n_tokens, (self.readout,) = self.buffers.n_tokens, self.buffers.readouts
        self.parked_probs = self.buffers.probs(self.n_tokens, i=1)
        self.bounds = EarlyBounds(reader.unembed, nats=convention.nats) if certify else None
        self.capped = convention.norm == "once"

    @torch.no_grad()
    def read(self, rows: TokenRows) -> dict[str, Tensor]:
        """Answers for one chunk of rows, with each token's readings made and saved."""
        self.states = self.reader.states(rows)
        n, device = self.states.shape[1], self.states.device
        ids = [
            row[p]
            for row, positions in zip(rows.rows, rows.positions, strict=True)
            for p in positions
        ]
        guess = torch.tensor(ids, device=device).clamp(0, self.reader.unembed.d_vocab - 1)
        self.value = torch.full((n,), self.search.otherwise, device=device)
        self.counts = torch.zeros(2, n, dtype=torch.long, device=device)
        parked: list[_Open] = []
        for span in self.buffers.spans(n):
            tokens = torch.arange(n, device=device)[span]
            block = self._begun(tokens, guess[tokens])
            left, step = self._tried(block, few=self.n_tokens // FEW)
            if sum(len(each.tokens) for each in parked) + len(left) > self.n_tokens:
                self._finish(parked)
                parked = []
            if len(left):
                parked.append(self._parked(block, left, step, parked))
        self._finish(parked)
        del self.states
        return {"value": self.value, "counts": self.counts}

    def _begun(self, tokens: Int[Tensor, " token"], guess: Int[Tensor, " token"]) -> _Open:
        """A block of tokens with final predictions, before the first step."""
        final = self.readout.final(
            normed(self.reader.own, self.states[-1, tokens], norm=self.convention.norm),
            self.buffers.probs(len(tokens)),
            capped=self.capped,
        )
        return _Open(tokens=tokens, step=torch.zeros_like(tokens), guess=guess, final=final)

    def _tried(self, block: _Open, *, few: int) -> tuple[Int[Tensor, " left"], int]:
        """Search layers until all but a few tokens have answers.

        Returns:
            Open columns, and the number of completed steps.
        """
        left = torch.arange(len(block.tokens), device=block.tokens.device)
        begun = False
        for step, layer in enumerate(self.search.layers):
            if len(left) <= few:
                return left, step
            now = left[block.step[left] <= step]
            if not len(now):
                continue
            bounds = self.bounds if step >= self.search.bounds_from else None
            if bounds is not None and not begun:
                bounds.begin(block.final)
                begun = True
            settled = self._settled(block, now, layer, bounds)
            leaves = now[settled == self.search.on_hit]
            self.value[block.tokens[leaves]] = self.search.answer[layer]
            left = left[~torch.isin(left, leaves)]
        # Tokens that tried every layer have the answer of those that never stop.
        return left[:0], len(self.search.layers)

    def _settled(
        self, block: _Open, now: Int[Tensor, " some"], layer: int, bounds: EarlyBounds | None
    ) -> Bool[Tensor, " some"]:
        """Whether each of some tokens is settled at a layer."""
        state = self._state(block.tokens[now], layer)
        settled = torch.zeros(len(now), dtype=torch.bool, device=now.device)
        unproven = torch.ones_like(settled)
        if bounds is not None:
            unproven = ~bounds.not_settled(state, now, guess=block.guess[now], capped=self.capped)
        self.counts[0, block.tokens[now]] += unproven
        self.counts[1, block.tokens[now]] += ~unproven
        read = unproven.nonzero()[:, 0]
        if not len(read):
            return settled
        columns = now[read]
        (jsd,) = self.readout.divergences(
            state[read], [block.final], tokens=columns, capped=self.capped
        )
        settled[read] = jsd <= self.convention.nats
        if self.bounds is not None and not bool(settled[read].all()):
            block.guess[columns] = self.readout.first()
        return settled

    def _state(self, tokens: Int[Tensor, " some"], layer: int) -> Float[Tensor, "some d_model"]:
        """Input of the unembedding for some tokens at a layer."""
        state = self.reader.lens.state(self.states[layer, tokens], layer=layer)
        norm = "none" if self.convention.norm == "none" else "once"
        return normed(self.reader.unembed, state, norm=norm)

    def _parked(
        self, block: _Open, left: Int[Tensor, " left"], step: int, parked: list[_Open]
    ) -> _Open:
        """Remaining tokens of a block, with their probabilities moved out of its buffer."""
        start = sum(len(each.tokens) for each in parked)
        place = self.parked_probs[:, start : start + len(left)]
        # The logits buffer is free between two readings.
        moved = self.readout.flat[: place.numel()].view(place.shape)
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
