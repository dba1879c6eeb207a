"""Chunks of rows, read at every layer a block of tokens at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import Unembed
from elicit.revision.between import Between, between
from elicit.revision.lens import normed
from elicit.revision.reading import Final, Reading, tokens_per_block
from elicit.revision.readout import Readout
from elicit.revision.sides import PassOptions, Side
from elicit.revision.states import residual_states
from elicit.revision.traces import Traces


def token_axis(name: str) -> int:
    """Where the tokens are in a statistic: last, but before the k most probable ids.

    Args:
        name: Name of the statistic.
    """
    return -2 if name in ("top_id", "top_log_prob") else -1


class BlockReader:
    """Reads chunks of rows; its room for blocks of logits is taken once."""

    def __init__(self, sides: Sequence[Side], *, n_layers: int, options: PassOptions) -> None:
        """Take the room.

        Args:
            sides: The models.
            n_layers: Blocks of each model.
            options: How they are read.
        """
        self.sides, self.n_layers, self.options = tuple(sides), n_layers, options
        head = sides[0].head
        itemsize = 8 if head.weight.dtype == torch.float64 else 4
        # Of each model the logits of one layer, and its final probabilities.
        self.n_tokens = tokens_per_block(
            head.d_vocab, budget=options.budget, buffers=2 * len(sides), itemsize=itemsize
        )
        self.rooms = [Readout(side.head, self.n_tokens) for side in sides]
        self.probs = [torch.empty_like(room.flat) for room in self.rooms]
        self.both = options.between and {side.name for side in sides} == {"base", "post"}

    @torch.no_grad()
    def read(self, traces: Traces, pad_id: int) -> dict[str, Tensor]:
        """Every statistic of one chunk's tokens.

        Args:
            traces: Rows that are run as one batch.
            pad_id: Id put where a row has no token.
        """
        states = [
            residual_states(side.model, traces, n_layers=self.n_layers, pad_id=pad_id)
            for side in self.sides
        ]
        blocks = [
            self._block([own[:, start : start + self.n_tokens] for own in states])
            for start in range(0, traces.n_tokens, self.n_tokens)
        ]
        return {
            name: torch.cat([block[name] for block in blocks], token_axis(name)).cpu()
            for name in blocks[0]
        }

    def _block(self, states: Sequence[Float[Tensor, "layer token d_model"]]) -> dict[str, Tensor]:
        """Every statistic of one block of tokens."""
        crossed = any(side.crossed for side in self.sides)
        last = self._layer(states, self.n_layers, own=True)
        finals = [self._final(i, own[-1], last.logits[i]) for i, own in enumerate(states)]
        ends = [_final_reading(final) for final in finals]
        layers = [
            self._measured(self._layer(states, layer), finals, end=layer == self.n_layers)
            for layer in range(self.n_layers + crossed)
        ]
        if not crossed:
            # Read by its own head, the last layer is the final prediction: no second product.
            layers.append(replace(last, readings=ends))
        found = {
            name: torch.stack(
                [
                    torch.stack([getattr(layer.readings[i], name) for layer in layers])
                    for i in range(len(states))
                ]
            )
            for name in ("jsd", "kl", "entropy", "rank", "prob")
        }
        found["top"] = torch.stack([final.top for final in finals])
        found["top_prob"] = torch.stack([final.top_prob for final in finals])
        if self.both:
            for name in ("kl_base_post", "kl_post_base", "jsd_base_post"):
                found[name] = torch.stack([getattr(layer.apart, name) for layer in layers])
        if self.options.top_k:
            found |= self._tops(layers)
        return found

    def _layer(
        self,
        states: Sequence[Float[Tensor, "layer token d_model"]],
        layer: int,
        *,
        own: bool = False,
    ) -> "_Layer":
        """Logits of one layer, and what must be seen of them before they are gone."""
        inputs, logits = [], []
        for i, (side, resid) in enumerate(zip(self.sides, states, strict=True)):
            head = side.own if own else side.head
            inputs.append(self._state(side, head, resid[layer], layer))
            logits.append(self.rooms[i].project(inputs[i], capped=self._capped, head=head))
        k = self.options.top_k
        return _Layer(
            inputs=inputs,
            logits=logits,
            apart=between(*self._in_order(logits)) if self.both else None,
            best=[z.topk(k, dim=0) for z in logits] if k else [],
        )

    def _measured(self, layer: "_Layer", finals: Sequence[Final], *, end: bool) -> "_Layer":
        """The same layer, held against the final predictions; its logits are gone."""
        readings = []
        for i, (side, final) in enumerate(zip(self.sides, finals, strict=True)):
            readings.append(
                _final_reading(final)
                if end and not side.crossed
                else self.rooms[i].measure(
                    layer.logits[i], layer.inputs[i], final, capped=self._capped
                )
            )
        return replace(layer, readings=readings)

    def _tops(self, layers: Sequence["_Layer"]) -> dict[str, Tensor]:
        """Most probable ids of every layer and their log-probabilities, `[model layer token k]`."""
        ids, log_probs = [], []
        for i in range(len(self.sides)):
            ids.append(torch.stack([layer.best[i].indices.T for layer in layers]))
            log_probs.append(
                torch.stack(
                    [(layer.best[i].values - layer.readings[i].log_norm).T for layer in layers]
                )
            )
        return {"top_id": torch.stack(ids), "top_log_prob": torch.stack(log_probs)}

    @property
    def _capped(self) -> bool:
        """Whether the softcap is applied: readers without the norm have none of it."""
        return self.options.norm == "once"

    def _state(self, side: Side, head: Unembed, resid: Tensor, layer: int) -> Tensor:
        """What the unembedding reads of a layer."""
        norm = self.options.norm
        if layer == self.n_layers:
            return normed(head, resid, norm=norm)
        state = side.lens.state(resid, layer=layer)
        return normed(head, state, norm="none" if norm == "none" else "once")

    def _final(self, i: int, resid: Tensor, z: Tensor) -> Final:
        """A model's own predictions for a block."""
        own = self.sides[i].own
        out = self.probs[i][: z.numel()].view(z.shape)
        state = normed(own, resid, norm=self.options.norm)
        return self.rooms[i].final(state, out, capped=self._capped, head=own, z=z)

    def _in_order(self, logits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of base and of post, however the models were named."""
        named = dict(zip((side.name for side in self.sides), logits, strict=True))
        return named["base"], named["post"]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Layer:
    """One layer of every model, on the way from states to readings."""

    inputs: Sequence[Tensor]
    logits: Sequence[Tensor]
    apart: Between | None
    best: Sequence[torch.return_types.topk]
    readings: Sequence[Reading] = ()


def _final_reading(final: Final) -> Reading:
    """A model's last layer read by its own head: exactly its final prediction."""
    zero = torch.zeros_like(final.top_prob)
    return Reading(
        jsd=zero,
        kl=zero,
        entropy=final.entropy.to(zero.dtype),
        rank=torch.zeros_like(final.top),
        prob=final.top_prob,
        log_norm=final.log_norm,
    )
