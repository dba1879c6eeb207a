"""How much a change of weights changes what each matrix makes of its inputs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from elicit.pair import Encoded, ModelPair, hugging_face_model
from elicit.weights.slots import Slot

_VALUES = 1 << 22
"""Entries of a weight that are turned into float64 at a time."""


class _Complete(Exception):
    """Ends a forward once every requested matrix has read; never leaves this module."""


@dataclass(eq=False)
class _Sums:
    """Squared norms of outputs, summed over tokens, by tensor name."""

    slots: Mapping[str, Slot]
    real: Tensor = field(default_factory=lambda: torch.ones(0))
    """Which tokens of the present batch are no padding."""
    change: dict[str, float] = field(default_factory=dict)
    """Of the weight difference."""
    whole: dict[str, float] = field(default_factory=dict)
    """Of base's weight."""
    left: set[str] = field(default_factory=set)
    """Tensors that have not read the present batch."""
    shared: tuple[Tensor | None, Tensor] = (None, torch.ones(0))
    """The last input and its rows: projections of one input turn it into float64 once."""

    def add(self, name: str, inputs: Tensor, *, transposed: bool) -> None:
        """Add what one matrix makes of its inputs."""
        if inputs.shape[:2] == self.real.shape:
            if self.shared[0] is not inputs:
                self.shared = (inputs, inputs.detach()[self.real].double())
            rows = self.shared[1]
            base, post = (tensor if transposed else tensor.T for tensor in self.slots[name].values)
            width = max(1, _VALUES // base.shape[0])
            for low in range(0, base.shape[1], width):
                ours = base[:, low : low + width].double()
                delta = post[:, low : low + width].double() - ours
                for sums, weight in ((self.change, delta), (self.whole, ours)):
                    sums[name] = sums.get(name, 0.0) + (rows @ weight).square().sum().item()
        self.left.discard(name)
        if not self.left:
            raise _Complete


def output_change(
    pair: ModelPair, slots: Mapping[str, Slot], texts: Sequence[Encoded]
) -> dict[str, float]:
    """RMS of each matrix's change of output over the RMS of its output, on base's inputs.

    One forward per batch, which ends at the last of the matrices; no second moments are kept.

    `slots`: tensors to measure, by name; those outside the layers and vectors are left out.
    `texts`: padded batches; padding is left out.

    Returns:
        By name; tensors that no module read as its weight, or whose output is 0, are missing.
    """
    held = {
        name: slot for name, slot in slots.items() if slot.base.ndim == 2 and slot.place.layer >= 0
    }
    sums = _Sums(held)
    if not held:
        return {}
    with _reading(pair.base, sums), torch.no_grad():
        for batch in texts:
            batch = batch.to(pair.device)
            sums.real, sums.left, sums.shared = batch.real, set(held), (None, torch.ones(0))
            with suppress(_Complete):
                hugging_face_model(pair.base)(
                    input_ids=batch.ids,
                    attention_mask=batch.mask,
                    position_ids=batch.position_ids,
                    use_cache=False,
                    logits_to_keep=1,
                )
    return {name: (sums.change[name] / whole) ** 0.5 for name, whole in sums.whole.items() if whole}


@contextmanager
def _reading(model: nn.Module, sums: _Sums) -> Iterator[None]:
    """Show `sums` the inputs of every module that owns a requested matrix."""
    names = {id(slot.base): name for name, slot in sums.slots.items()}
    handles, seen = [], set()

    def watch(name: str, *, transposed: bool) -> Callable[[nn.Module, tuple], None]:
        def enter(_module: nn.Module, args: tuple) -> None:
            if args and isinstance(args[0], Tensor):
                sums.add(name, args[0], transposed=transposed)

        return enter

    for module in model.modules():
        name = names.get(id(module._parameters.get("weight")))
        if name is not None and id(module) not in seen:
            seen.add(id(module))
            enter = watch(name, transposed=isinstance(module, Conv1D))
            handles.append(module.register_forward_pre_hook(enter))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
