"""Put one model's parameters into the other for one block, and take them back."""

from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from elicit.pair import ModelPair
from elicit.surroundings import forget_casts, hold, hold_parameters
from elicit.weights.parts import Part
from elicit.weights.slots import Slot, slots_of


@contextmanager
def replaced(changes: Mapping[nn.Parameter, Tensor]) -> Iterator[None]:
    """Parameters read other tensors inside the block and their own again after it.

    Args:
        changes: Live parameter -> the tensor that it shall read. Nothing is copied, but for tensors
            on another device: those overwrite the parameter's memory, whose content waits in host
            memory, so that the device never holds more than its own model. Other threads wait for
            the models of which the parameters are part.
    """
    with hold_parameters(changes), _swapped(changes):
        yield


@contextmanager
def _swapped(changes: Mapping[nn.Parameter, Tensor]) -> Iterator[None]:
    crossing = {p for p, tensor in changes.items() if tensor.device != p.device}
    kept = {p: p.data.to("cpu", copy=True) if p in crossing else p.data for p in changes}
    try:
        _put(changes, crossing)
        yield
    finally:
        _put(kept, crossing)


def _put(values: Mapping[nn.Parameter, Tensor], crossing: Set[nn.Parameter]) -> None:
    for parameter, tensor in values.items():
        if parameter in crossing:
            with torch.no_grad():  # not through `data`: a copy of it on its way must be noticed
                parameter.copy_(tensor)
        else:
            parameter.data = tensor
    # Under autocast copies of weights are kept by parameter, and would be read on.
    forget_casts()


@contextmanager
def reverted(pair: ModelPair, part: Part) -> Iterator[nn.Module]:
    """Post with a part from base, for one block."""
    slots = slots_of(pair)
    with (
        hold(pair.base, pair.post),
        _swapped({slots[name].post: slots[name].base.data for name in part.slots}),
    ):
        yield pair.post


@contextmanager
def grafted(pair: ModelPair, part: Part) -> Iterator[nn.Module]:
    """Base with a part from post, for one block."""
    slots = slots_of(pair)
    with (
        hold(pair.base, pair.post),
        _swapped({slots[name].base: slots[name].post.data for name in part.slots}),
    ):
        yield pair.base


@contextmanager
def interpolated(pair: ModelPair, part: Part, alpha: float) -> Iterator[nn.Module]:
    """Base whose part has gone the share `alpha` of the way to post, for one block.

    Args:
        pair: The two models.
        part: What moves.
        alpha: 0 is base, 1 is post; values outside extrapolate.
    """
    slots = slots_of(pair)

    def between(slot: Slot) -> Tensor:
        if alpha in (0.0, 1.0):  # the ends are exact, without rounding
            return (slot.post if alpha else slot.base).data
        return torch.lerp(*slot.values, alpha)

    with replaced({slots[name].base: between(slots[name]) for name in part.slots}):
        yield pair.base


@contextmanager
def moved(
    pair: ModelPair, part: Part, new: Callable[[Slot], Tensor], *, host: str
) -> Iterator[nn.Module]:
    """A host whose part reads what `new` makes of each slot, for one block.

    Args:
        pair: The two models.
        part: What moves.
        new: From a slot to the tensor that the host shall read there.
        host: `base` or `post`.
    """
    slots = slots_of(pair)
    model = pair.base if host == "base" else pair.post
    with hold(pair.base, pair.post):
        changes = {
            (slot.base if host == "base" else slot.post): new(slot)
            for slot in map(slots.__getitem__, part.slots)
        }
        with _swapped(changes):
            yield model
