"""One pass over texts: every layer of one or both models read, a block of tokens at a time.

A chunk of rows is run once through each model and the residual stream of every layer is kept at
the positions that are read. These states then go through the unembedding a block of tokens at a
time, so that memory is bounded by the chunk's residual streams and a budget for blocks of logits,
whatever the length of the text: no array with axes of layer, position and vocabulary is ever made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import Unembed
from elicit.revision._readers import MODELS, Reader
from elicit.revision.lens import Norm, normed
from elicit.runs import Execution
from elicit.texts import (
    Final,
    LogitBuffers,
    ModelDivergences,
    Reading,
    TokenRows,
    concatenate,
    model_divergences,
    read_chunks,
)


def read_layers(
    readers: Sequence[Reader],
    rows: TokenRows,
    *,
    norm: Norm = "once",
    compare: bool = True,
    top_k: int = 0,
    only_jsd: bool = False,
    execution: Execution = Execution(),
) -> dict[str, Tensor]:
    """Every statistic of every token and layer, on the CPU and in the order of the rows.

    `compare`: whether the two models' layers are also compared with each other. `top_k`: most
    probable ids that are kept of each layer. `only_jsd`: whether nothing but `jsd` is read, which
    takes half the time, and less where both models have the same state.

    Returns:
        `jsd`, `kl`, `entropy`, `rank`, `prob` as `[model layer token]`, `top` and `top_prob` as
        `[model token]`, if asked for `top_id` and `top_log_prob` as `[model layer k token]`, and
        for both models `kl_base_post`, `kl_post_base`, `jsd_base_post` as `[layer token]`.

    Raises:
        TextError: The budget holds no token, or some logits are not a prediction.
        CaptureError: A row is empty, or a model cannot read it.
    """
    reader = _LayerReader(readers, norm=norm, compare=compare, top_k=top_k, memory=execution.memory)
    read, key = (reader.read_jsd, "divergences") if only_jsd else (reader.read, "layers")
    return read_chunks(rows, read, key=key, label="reading layers", execution=execution)


class _LayerReader:
    """Reads chunks of rows; its buffers are allocated once."""

    def __init__(
        self, readers: Sequence[Reader], *, norm: Norm, compare: bool, top_k: int, memory: int
    ) -> None:
        self.readers, self.top_k = tuple(readers), top_k
        self.norm: Norm = norm
        self.n_layers = readers[0].n_layers
        # Of each model the logits of one layer, and its final probabilities.
        self.buffers = LogitBuffers(
            [reader.unembed for reader in readers], n_finals=len(readers), memory=memory
        )
        self.compare = compare and {reader.name for reader in readers} == set(MODELS)
        # Without the norm nothing of the model's last step is applied, the softcap included.
        self.capped = norm == "once"
        first, *others = (reader.unembed for reader in readers)
        self.one_head = all(_alike(first, other) for other in others)

    @torch.no_grad()
    def read(self, rows: TokenRows) -> dict[str, Tensor]:
        """Every statistic of one chunk's tokens."""
        states = [reader.states(rows) for reader in self.readers]
        return concatenate(
            self.buffers.settled(
                lambda span=span: self._block([state[:, span] for state in states])
            )
            for span in self.buffers.spans(rows.n_tokens)
        )

    @torch.no_grad()
    def read_jsd(self, rows: TokenRows) -> dict[str, Tensor]:
        """Divergence of every layer from the final predictions, of one chunk's tokens."""
        states = [reader.states(rows) for reader in self.readers]
        return concatenate(
            self.buffers.settled(
                lambda span=span: {"jsd": self._divergences([state[:, span] for state in states])}
            )
            for span in self.buffers.spans(rows.n_tokens)
        )

    def _divergences(
        self, states: Sequence[Float[Tensor, "layer token d_model"]]
    ) -> Float[Tensor, "model layer token"]:
        """Divergence of every layer of a block from each model's final predictions."""
        last = self._layer(states, self.n_layers, own=True)
        finals = [self._final(i, state[-1], last.logits[i]) for i, state in enumerate(states)]
        layers = []
        crossed = any(reader.crossed for reader in self.readers)
        for layer, alike in enumerate(self._alike_inputs(states, self.n_layers + crossed)):
            inputs = self._inputs(states, layer)
            # One reading serves both models where neither state nor unembedding differs.
            groups = [list(range(len(inputs)))] if alike else [[i] for i in range(len(inputs))]
            measured = [
                value
                for group in groups
                for value in self.buffers.readouts[group[0]].divergences(
                    inputs[group[0]], [finals[i] for i in group], capped=self.capped
                )
            ]
            if layer == self.n_layers:
                measured = [
                    value if reader.crossed else torch.zeros_like(value)
                    for value, reader in zip(measured, self.readers, strict=True)
                ]
            layers.append(_stacked(measured))
        if not crossed:  # read by its own unembedding the last layer is the final prediction
            layers.append(torch.zeros_like(layers[0]))
        return torch.stack(layers, dim=1)

    def _inputs(
        self, states: Sequence[Float[Tensor, "layer token d_model"]], layer: int
    ) -> list[Float[Tensor, "token d_model"]]:
        """What each model's unembedding reads of a layer."""
        return [
            self._state(reader, reader.unembed, resid[layer], layer)
            for reader, resid in zip(self.readers, states, strict=True)
        ]

    def _alike_inputs(
        self, states: Sequence[Float[Tensor, "layer token d_model"]], n_layers: int
    ) -> list[bool]:
        """Of each layer, whether one reading serves all models; no device is asked twice."""
        if not self.one_head or len(states) == 1:
            return [False] * n_layers
        found = []
        for layer in range(n_layers):
            # Read again later on: held for all layers they would be as large as the states.
            first, *others = self._inputs(states, layer)
            found.append(torch.stack([(first == other).all() for other in others]).all())
        return torch.stack(found).tolist()

    def _block(self, states: Sequence[Float[Tensor, "layer token d_model"]]) -> dict[str, Tensor]:
        """Every statistic of one block of tokens."""
        crossed = any(reader.crossed for reader in self.readers)
        last = self._layer(states, self.n_layers, own=True)
        finals = [self._final(i, state[-1], last.logits[i]) for i, state in enumerate(states)]
        layers = [
            self._measured(self._layer(states, layer), finals, end=layer == self.n_layers)
            for layer in range(self.n_layers + crossed)
        ]
        if not crossed:
            # Read by its own unembedding the last layer is the final prediction: no second product.
            layers.append(replace(last, readings=[_final_reading(final) for final in finals]))
        statistics = {
            name: _stacked(
                [
                    torch.stack([getattr(layer.readings[i], name) for layer in layers])
                    for i in range(len(states))
                ]
            )
            for name in ("jsd", "kl", "entropy", "rank", "prob")
        }
        statistics["top"] = _stacked([final.top for final in finals])
        statistics["top_prob"] = _stacked([final.top_prob for final in finals])
        if self.compare:
            for name in ("kl_base_post", "kl_post_base", "jsd_base_post"):
                statistics[name] = torch.stack([getattr(layer.apart, name) for layer in layers])
        if self.top_k:
            statistics |= self._tops(layers)
        return statistics

    def _layer(
        self,
        states: Sequence[Float[Tensor, "layer token d_model"]],
        layer: int,
        *,
        own: bool = False,
    ) -> "_Layer":
        """Logits of one layer, and what must be read of them before they are overwritten."""
        inputs, logits = [], []
        for i, (reader, resid) in enumerate(zip(self.readers, states, strict=True)):
            unembed = reader.own if own else reader.unembed
            inputs.append(self._state(reader, unembed, resid[layer], layer))
            logits.append(
                self.buffers.readouts[i].project(inputs[i], capped=self.capped, unembed=unembed)
            )
        return _Layer(
            inputs=inputs,
            logits=logits,
            apart=model_divergences(*self._in_order(logits)) if self.compare else None,
            best=[z.topk(self.top_k, dim=0) for z in logits] if self.top_k else [],
        )

    def _measured(self, layer: "_Layer", finals: Sequence[Final], *, end: bool) -> "_Layer":
        """The same layer, compared with the final predictions; its logits are overwritten."""
        readings = [
            _final_reading(final)
            if end and not reader.crossed
            else readout.measure(z, state, final, capped=self.capped)
            for reader, readout, z, state, final in zip(
                self.readers, self.buffers.readouts, layer.logits, layer.inputs, finals, strict=True
            )
        ]
        return replace(layer, readings=readings)

    def _tops(self, layers: Sequence["_Layer"]) -> dict[str, Tensor]:
        """Most probable ids of every layer and their log-probabilities, `[model layer k token]`."""
        models = range(len(self.readers))
        return {
            "top_id": _stacked(
                [torch.stack([layer.best[i].indices for layer in layers]) for i in models]
            ),
            "top_log_prob": _stacked(
                [
                    torch.stack([la.best[i].values - la.readings[i].log_norm for la in layers])
                    for i in models
                ]
            ),
        }

    def _state(self, reader: Reader, unembed: Unembed, resid: Tensor, layer: int) -> Tensor:
        """What the unembedding reads of a layer."""
        if layer == self.n_layers:
            return normed(unembed, resid, norm=self.norm)
        state = reader.lens.state(resid, layer=layer)
        return normed(unembed, state, norm="none" if self.norm == "none" else "once")

    def _final(self, i: int, resid: Tensor, z: Tensor) -> Final:
        """A model's final predictions for a block."""
        own = self.readers[i].own
        state, out = normed(own, resid, norm=self.norm), self.buffers.probs(z.shape[1], i=i)
        return self.buffers.readouts[i].final(state, out, capped=self.capped, unembed=own, z=z)

    def _in_order(self, logits: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of base and of post, in whichever order the models were named."""
        named = dict(zip((reader.name for reader in self.readers), logits, strict=True))
        return named["base"], named["post"]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Layer:
    """One layer of every model, on the way from states to readings."""

    inputs: Sequence[Tensor]
    logits: Sequence[Tensor]
    apart: ModelDivergences | None
    best: Sequence[torch.return_types.topk]
    readings: Sequence[Reading] = ()


def _final_reading(final: Final) -> Reading:
    """A model's last layer read by its own unembedding: exactly its final prediction."""
    zero = torch.zeros_like(final.top_prob)
    return Reading(
        jsd=zero,
        kl=zero,
        entropy=final.entropy.to(zero.dtype),
        rank=torch.zeros_like(final.top),
        prob=final.top_prob,
        log_norm=final.log_norm,
    )


def _stacked(by_model: Sequence[Tensor]) -> Tensor:
    """Statistics of each model, on the device of the first."""
    return torch.stack([value.to(by_model[0].device) for value in by_model])


def _alike(one: Unembed, other: Unembed) -> bool:
    """Whether two unembeddings make the same logits of the same input, on one device."""
    if one.weight.device != other.weight.device:
        return False
    if one.softcap != other.softcap or not torch.equal(one.weight, other.weight):
        return False
    if one.bias is None or other.bias is None:
        return one.bias is other.bias
    return torch.equal(one.bias, other.bias)
