"""Blocks of edits in the order in which a model entered them, and the run that they follow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from elicit.edits._run import Call, Run
from elicit.edits._tokens import tokens_of
from elicit.edits._writing import Writer
from elicit.edits.values import Edit
from elicit.pair import without_waiting

_active: WeakKeyDictionary[nn.Module, list[Any]] = WeakKeyDictionary()


def blocks_of(model: nn.Module) -> list[Any]:
    """All blocks that a model is in, the outermost first; a list to add to and remove from."""
    return _active.setdefault(wrapped(model), [])


def wrapped(model: nn.Module) -> nn.Module:
    """The Hugging Face model in a bridge, or the model itself."""
    return getattr(model, "original_model", model)


class Following:
    """Edits of one block, and where the tokens of the run that goes on stand."""

    def __init__(
        self,
        model: nn.Module,
        edits: tuple[Edit, ...],
        writers: list[Writer | None],
        prompt_lengths: Int[Tensor, " batch"] | None,
    ) -> None:
        """No run has begun."""
        self.edits = edits
        self._model = model
        self._writers = writers
        self._run = Run(prompt_lengths)
        self._call: Call | None = None
        self._stepping = False
        self._held: list[Bool[Tensor, "batch 1"]] | None = None
        self._made = [False] * len(edits)

    @property
    def stack(self) -> tuple[Any, ...]:
        """All blocks that the model is in, the outermost first."""
        return tuple(blocks_of(self._model) or [self])

    def select(self, rows: Int[Tensor, " row"]) -> None:
        """Go on with some rows of the batch only, after their cache was cut down to them.

        Args:
            rows: Their places in the batch of the last call.
        """
        for block in self.stack:
            block._run.select(rows)
            block._held = None

    def grows(self) -> None:
        """Calls on a cache bring one token to every row from here on, padding to none.

        Then nothing is read off their masks, for which a device would be waited for.
        """
        for block in self.stack:
            block._run.one_each = True

    @property
    def repeats(self) -> bool:
        """Whether all edits of all blocks do to every later token of a row what they do to one.

        Then a call of one token a row can be recorded and replayed, each time inside `stepping`.
        """
        writers = [writer for block in self.stack for writer in block._writers]
        return all(writer is not None and writer.repeats for writer in writers)

    @contextmanager
    def stepping(self, n_rows: int, n_cached: int, device: torch.device) -> Iterator[None]:
        """A call that brings one token to every row, made or replayed inside the block.

        No hook looks at such a call: which tokens are changed stands in tensors that keep their
        place until rows leave, and is written there before.

        Args:
            n_rows: Rows of the batch.
            n_cached: Columns that the cache holds before the call.
            device: Where the model's input is.
        """
        for block in self.stack:
            if block._held is None:
                none = torch.zeros(len(block.edits), n_rows, 1, dtype=torch.bool, device=device)
                block._held = list(none)
            block._call = call = block._run.grow(n_cached)
            for i, (edit, writer) in enumerate(zip(block.edits, block._writers, strict=True)):
                chosen, _ = tokens_of(edit, writer, call, torch.device("cpu"))
                block._made[i] = block._made[i] or chosen is not None
                if writer is not None:
                    writer.follow(call)
                if chosen is None:
                    block._held[i].zero_()
                else:
                    block._held[i].copy_(without_waiting(chosen, device))
            block._stepping = True
        try:
            yield
        finally:
            for block in self.stack:
                block._stepping, block._call = False, None

    def restart(self, prompt_lengths: Int[Tensor, " batch"] | None = None) -> None:
        """Take the next call for the first of a new run, whatever its ids are.

        Args:
            prompt_lengths: Tokens of each row's prompt where that call holds text after it, for
                this run alone.
        """
        for block in self.stack:
            block._run.restart(prompt_lengths)
            block._held = None
