"""What a CUDA graph does, without one: operations recorded on their tensors, and made again."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero"}
"""Operations whose result the host must know, which no graph can record."""


class Tape(TorchDispatchMode):
    """Operations in their order with the very tensors that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple] = []
        self._mine: set[int] = set()
        self._before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = {x.device for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        if func.overloadpacket.__name__ in _WAITS or len(given) > 1:
            raise RuntimeError("operation not permitted when stream is capturing")
        if func._schema.is_mutable:
            for spec, value in zip(func._schema.arguments, args, strict=False):
                written = spec.alias_info is not None and spec.alias_info.is_write
                if written and _memory(value) not in self._mine:
                    self._before.append((value, value.clone()))
        found = func(*args, **kwargs)
        if func.overloadpacket.__name__ == "lift_fresh" and found.ndim:
            raise RuntimeError("operation not permitted when stream is capturing: torch.tensor")
        if given and any(
            x.device not in given for x in tree_leaves(found) if isinstance(x, Tensor)
        ):
            raise RuntimeError("operation not permitted when stream is capturing: a copy")
        views = any(result.alias_info is not None for result in func._schema.returns)
        if not views:
            self._mine |= {_memory(x) for x in tree_leaves(found) if isinstance(x, Tensor)}
        self.made.append((func, args, kwargs, None if views else found))
        return found

    def undo(self) -> None:
        """A step that is captured is not made."""
        for tensor, before in reversed(self._before):
            tensor.copy_(before)

    @torch.no_grad()
    def replay(self) -> None:
        """Make the operations again, with nothing of Python between them."""
        for func, args, kwargs, out in self.made:
            again = func(*args, **kwargs)
            if out is not None:
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, Tensor):
                        old.copy_(new)


def _memory(tensor: Tensor) -> int:
    """Where a tensor's numbers are, also on a pretended device."""
    return getattr(tensor, "held", tensor).untyped_storage().data_ptr()


def record(work: Callable[[], Tensor], _device: torch.device) -> tuple[Callable[[], None], Tensor]:
    """Stands in for `elicit.rollouts._recorded.record`."""
    tape = Tape()
    try:
        with tape:
            logits = work()
    finally:
        tape.undo()
    return tape.replay, logits
