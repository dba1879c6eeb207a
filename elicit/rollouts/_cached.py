"""A model that reads batches of rows token by token, keeping keys and values in between."""

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
    """

    def __init__(
        self,
        model: nn.Module,
        ids: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"],
        written: list[int],
    ) -> None:
        """Begin a run of the edits on the model, if there are any."""
        self._model, self._mask = model, mask
        self._edits = active(model)
        if self._edits is not None:
            self._edits.restart(mask.sum(-1) - mask.new_tensor(written) if any(written) else None)
        self._switch = check_cache(model)
        self._cache = self._empty()
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
        last, begun = self._positions[:, -1], self._step_ids is not self._seen
        if begun and self._switch is not None and bool((running & (last == self._switch)).any()):
            # As the model's own generate does: keys from before the switch are made anew.
            self._cache = self._empty()
            self._step_ids = self._seen
            every = (self._mask.cumsum(-1) - 1).clamp(min=0)
            self._positions = torch.minimum(every, self._positions[:, -1:])
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
        self._step_ids = token[:, None]
        self._seen = torch.cat([self._seen, self._step_ids], dim=1)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(token), 1)], dim=1)
        self._positions = self._positions[:, -1:] + running[:, None]
