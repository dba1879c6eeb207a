"""Keys and values in memory that keeps its place, so that a step can be recorded and replayed."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.cache_utils import Cache, CacheLayerMixin, DummyLayer, DynamicLayer

COLUMNS = 256
"""Columns that are added at a time."""


class SteadyLayer(CacheLayerMixin):
    """Keys and values of one layer: columns up to `column` are filled, the rest is masked."""

    keys: Any
    values: Any

    def __init__(self, full: Any, width: int, column: Int[Tensor, " 1"]) -> None:
        """Copy what a growing layer has."""
        super().__init__()
        self.keys, self.values = (_widened(each, width) for each in (full.keys, full.values))
        self.column, self.is_initialized = column, True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_named: object
    ) -> tuple[Tensor, Tensor]:
        """Put a token's keys and values where it stands."""
        self.keys.index_copy_(2, self.column, key_states)
        self.values.index_copy_(2, self.column, value_states)
        return self.keys, self.values

    def change(self, how: Callable[[Tensor], Tensor]) -> None:
        """Put other tensors in the place of keys and values."""
        self.keys, self.values = how(self.keys), how(self.values)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing: there are keys from the beginning."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """All columns, from the first."""
        return self.keys.shape[2], 0

    def get_seq_length(self) -> int:
        """Columns, filled or not: nothing may be read off it, since a replay never asks."""
        return self.keys.shape[2]

    def get_max_length(self) -> int:
        """The same."""
        return self.keys.shape[2]


class Steady:
    """Steps of a batch after its prompts: one token a row, in memory that keeps its place.

    Args:
        model: A Hugging Face causal model, plain or wrapped in place.
        cache: Its keys and values of all columns so far.
        mask: 1 on real tokens of these columns.
    """

    def __init__(self, model: nn.Module, cache: Any, mask: Int[Tensor, "batch pos"]) -> None:
        """Copy the cache."""
        n_rows, self.n_columns = mask.shape
        dtype = next(layer.dtype for layer in cache.layers if type(layer) is DynamicLayer)
        width = self.n_columns + COLUMNS
        self._model = model
        self._column = torch.full((1,), self.n_columns, device=mask.device)
        self._cache = Cache(
            layers=[
                SteadyLayer(layer, width, self._column) if type(layer) is DynamicLayer else layer
                for layer in cache.layers
            ]
        )
        # What attention adds to its scores: eager attention takes no other mask.
        self._shut = torch.finfo(dtype).min
        open_ = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
        open_ = open_.masked_fill(mask == 0, self._shut)
        self._mask = _widened(open_[:, None, None], width, 3, self._shut)
        self.ids = torch.zeros(n_rows, 1, dtype=torch.long, device=mask.device)
        self.positions = torch.zeros_like(self.ids)

    @property
    def full(self) -> bool:
        """Whether there is no column left."""
        return self.n_columns == self._mask.shape[-1]

    def widen(self) -> None:
        """Add columns."""
        width = self._mask.shape[-1] + COLUMNS
        self._change(lambda each: _widened(each, width))
        self._mask = _widened(self._mask, width, 3, self._shut)

    def keep(self, rows: Int[Tensor, " row"]) -> None:
        """Go on with some rows only."""
        self._change(lambda each: each[rows])
        self._mask, self.ids, self.positions = (
            each[rows] for each in (self._mask, self.ids, self.positions)
        )

    def step(self) -> Float[Tensor, "batch d_vocab"]:
        """Logits after the token at `ids`; nothing here depends on what tensors hold."""
        self._mask.index_fill_(3, self._column, 0.0)
        logits = self._model(
            input_ids=self.ids,
            attention_mask=self._mask,
            position_ids=self.positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        self._column.add_(1)
        return logits

    def back(self) -> None:
        """Make the last step again next: it overwrites what it wrote."""
        self._column.sub_(1)

    def _change(self, how: Callable[[Tensor], Tensor]) -> None:
        for layer in self._cache.layers:
            if isinstance(layer, SteadyLayer):
                layer.change(how)


def can_be_steady(layers: Sequence[Any], device: torch.device) -> bool:
    """Whether a cache holds every column of every layer, on one device."""
    kinds = {type(layer) for layer in layers}
    full = [layer for layer in layers if type(layer) is DynamicLayer]
    return bool(full) and kinds <= {DynamicLayer, DummyLayer} and all(
        layer.device == device for layer in full
    )  # fmt: skip


def _widened(tensor: Tensor, width: int, axis: int = 2, fill: float = 0.0) -> Tensor:
    """A copy with more columns."""
    shape = list(tensor.shape)
    shape[axis] = width - shape[axis]
    return torch.cat([tensor, tensor.new_full(shape, fill)], dim=axis)
