"""A model that reads batches of rows token by token, keeping keys and values in between."""

from copy import copy

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.edits import active
from elicit.rollouts._cache import check_cache


class CachedReader:
    """What one model says next of every row of a batch, while the rows grow by a token each.

    Args:
        model: A Hugging Face causal model, plain or wrapped in place.
        ids: Prompt tokens, padded on the left.
        mask: 1 on real tokens, 0 on padding.
        written: Tokens at the end of each row that are text already and no prompt.
        rereads: Whether `reread` will be called, which keeps the cache from before each call.
    """

    leaves = 0.9
    """Share of rows still running below which the others leave; each time the cache is copied."""

    def __init__(
        self,
        model: nn.Module,
        ids: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"],
        written: list[int],
        *,
        rereads: bool = False,
    ) -> None:
        """Begin a run of the edits on the model, if there are any."""
        self._model, self._mask = model, mask
        self._edits = active(model)
        self._prompts = mask.sum(-1) - mask.new_tensor(written) if any(written) else None
        if self._edits is not None:
            self._edits.restart(self._prompts)
        self._switch = check_cache(model)
        self._cache = self._empty()
        self._before = self._empty() if rereads else None
        self._seen = self._step_ids = ids
        self._positions = (mask.cumsum(-1) - 1).clamp(min=0)

    def _empty(self):
        from transformers import DynamicCache

        return DynamicCache(config=self._model.config)  # pyright: ignore[reportArgumentType]

    @property
    def device(self) -> torch.device:
        """Where the model's input is."""
        return self._seen.device

    def logits(self, running: Bool[Tensor, " batch"]) -> Float[Tensor, "batch d_vocab"]:
        """Logits after the last token of every row.

        Args:
            running: Rows that are not done.
        """
        # The loop counts on the device of the model that writes, which may be another.
        running = running.to(self.device)
        last, begun = self._positions[:, -1], self._step_ids is not self._seen
        if begun and self._switch is not None and bool((running & (last == self._switch)).any()):
            # As the model's own generate does: keys from before the switch are made anew.
            self._cache = self._empty()
            self._step_ids = self._seen
            every = (self._mask.cumsum(-1) - 1).clamp(min=0)
            self._positions = torch.minimum(every, self._positions[:, -1:])
        if self._before is not None:
            self._before = snapshot(self._cache)
        return self._read()

    def reread(self) -> Float[Tensor, "batch d_vocab"]:
        """The same once more, from the cache before the last call: for edits that changed since.

        What the tokens of that call left in the cache is replaced. The first call is of whole
        prompts, later ones of one token a row.
        """
        assert self._before is not None, "made without rereads=True"
        self._cache = snapshot(self._before)
        if self._edits is not None and not self._cache.get_seq_length():
            self._edits.restart(self._prompts)
        return self._read()

    def _read(self) -> Float[Tensor, "batch d_vocab"]:
        return self._model(
            input_ids=self._step_ids,
            attention_mask=self._mask,
            position_ids=self._positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]

    def keep(self, rows: Int[Tensor, " row"]) -> None:
        """Go on with some rows of the batch only.

        Args:
            rows: Their places in it.
        """
        rows = rows.to(self.device)
        self._cache.batch_select_indices(rows)
        if self._edits is not None:
            self._edits.select(rows)
        self._mask, self._positions = self._mask[rows], self._positions[rows]
        self._seen = self._seen[rows]

    def append(self, token: Int[Tensor, " batch"], running: Bool[Tensor, " batch"]) -> None:
        """Put a token at the end of every row.

        Args:
            token: One a row; padding where a row is done.
            running: Rows that are not done: the others stand still, so that none passes the
                model's last position.
        """
        token, running = token.to(self.device), running.to(self.device)
        if self._edits is not None:
            self._edits.grows()
        self._step_ids = token[:, None]
        self._seen = torch.cat([self._seen, self._step_ids], dim=1)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(token), 1)], dim=1)
        self._positions = self._positions[:, -1:] + running[:, None]


def snapshot(cache):
    """A cache that stays as it is: layers put new tensors in place of old ones, never into them."""
    kept = copy(cache)
    kept.layers = [copy(layer) for layer in cache.layers]
    return kept
