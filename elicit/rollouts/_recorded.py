"""A reader whose steps are recorded once on a CUDA device and replayed."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.pair import records_steps
from elicit.rollouts._cached import CachedReader, snapshot

T = TypeVar("T")
Recorded = tuple[Callable[[], None], Tensor]
"""What repeats a step, and where its logits are then."""
_TOLERANCE = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Largest difference of logits that rounding explains, of the largest logit.

Models in float64 take norms and softmaxes in float32.
"""
_FAILS = (RuntimeError, ValueError, TypeError, AttributeError)
"""What a model raises that does not take such masks, or a step that cannot be recorded."""


def reader_of(
    model: nn.Module,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    written: list[int],
) -> CachedReader:
    """What reads a batch token by token; see `CachedReader`. Recorded where that was asked for."""
    kind = RecordedReader if records_steps(model) else CachedReader
    return kind(model, ids, mask, written)


def record(work: Callable[[], Tensor], device: torch.device) -> Recorded:
    """A CUDA graph of a step."""
    graph = torch.cuda.CUDAGraph()
    # Streams are those of the current device, which need not be the model's; the one that is taken
    # by default is of the device of the first graph ever.
    with torch.cuda.device(device), torch.cuda.graph(graph, stream=torch.cuda.Stream(device)):
        logits = work()

    def replay() -> None:
        with torch.cuda.device(device):
            graph.replay()

    return replay, logits


class RecordedReader(CachedReader):
    """Reads the prompts as `CachedReader` does, and each later token by replaying one step.

    At the size of a token a batch, a GPU waits for the host, which launches some ten kernels a
    layer. The first step is read both ways and the first replay is made again without it; where
    they differ by more than rounding, or the model does not allow it, it is said once and all is
    read the plain way.
    """

    # Each leave copies the cache and is recorded anew.
    leaves = 0.5
    _steady = None
    _replay: Recorded | None = None
    _plain = False
    _unrecorded = False
    _checked = False

    def _read(self) -> Float[Tensor, "batch d_vocab"]:
        if self._plain or self._step_ids is self._seen:
            return super()._read()
        with torch.no_grad():
            return self._first() if self._steady is None else self._next()

    def _first(self) -> Float[Tensor, "batch d_vocab"]:
        """Read the first new token both ways."""
        from elicit.rollouts._steady import Steady, can_be_steady

        before = snapshot(self._cache)
        logits = super()._read()
        blocked = self._edits is not None and not self._edits.repeats
        if blocked or self._switch is not None or not can_be_steady(before.layers, self.device):
            self._plain = True
            return logits
        try:
            self._steady = Steady(self._model, before, self._mask[:, :-1])
            self._check(self._stepped(self._steady.step), logits, "in memory of a fixed size")
        except _FAILS as error:
            self._give_up(error)
            self._plain, self._steady = True, None
            return logits
        self._cache = self._empty()
        return logits

    def _next(self) -> Float[Tensor, "batch d_vocab"]:
        steady = self._steady
        assert steady is not None
        if steady.full:
            steady.widen()
            self._replay = None
        if self._replay is None and not self._unrecorded:
            self._record()
        if self._replay is None:
            return self._stepped(steady.step)
        replay, logits = self._replay
        self._stepped(replay)
        if not self._checked:
            self._checked, found = True, logits.clone()
            steady.back()
            steady.n_columns -= 1
            again = self._stepped(steady.step)
            try:
                self._check(found, again, "recorded")
            except RuntimeError as error:
                self._unrecorded, self._replay = True, None
                self._give_up(error)
            return again
        return logits.clone()  # the next replay overwrites it

    def _record(self) -> None:
        """Record a step; nothing is computed yet."""
        steady = self._steady
        assert steady is not None
        try:
            with self._stepping():
                self._replay = record(steady.step, self.device)
        except _FAILS as error:
            self._unrecorded = True
            self._give_up(error)

    def _stepping(self):
        steady = self._steady
        assert steady is not None
        if self._edits is None:
            return nullcontext()
        return self._edits.stepping(len(self._step_ids), steady.n_columns, self.device)

    def _stepped(self, step: Callable[[], T]) -> T:
        """Make a step, one way or the other, of the newest tokens."""
        steady = self._steady
        assert steady is not None
        steady.ids.copy_(self._step_ids)
        steady.positions.copy_(self._positions)
        with self._stepping():
            made = step()
        steady.n_columns += 1
        return made

    def _check(self, found: Tensor, plain: Tensor, how: str) -> None:
        largest = plain.abs().amax().clamp(min=1.0)
        off = float((found - plain).abs().amax() / largest)
        if not off <= _TOLERANCE.get(plain.dtype, 1e-4):
            raise RuntimeError(f"a step {how} gives logits that differ by {off:.1e} of the largest")

    def _give_up(self, error: Exception) -> None:
        warnings.warn(
            f"steps of {type(self._model).__name__} are not recorded as CUDA graphs "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); texts are "
            "the same without, and take longer.",
            stacklevel=2,
        )

    def keep(self, rows: Int[Tensor, " row"]) -> None:
        """Go on with some rows of the batch only; see `CachedReader`."""
        super().keep(rows)
        if self._steady is not None:
            self._steady.keep(rows.to(self.device))
            self._replay = None

    def append(self, token: Int[Tensor, " batch"], running: Bool[Tensor, " batch"]) -> None:
        """Put a token at the end of every row; see `CachedReader`."""
        if self._steady is None:
            super().append(token, running)
            return
        # Masks and rows are no longer read: the columns are those of the steady memory.
        self._step_ids = token.to(self.device)[:, None]
        self._positions = self._positions[:, -1:] + running.to(self.device)[:, None]
