"""Which engine serves a model: for one block, while the model's weights stay as they are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from elicit.engines.values import Engine
from elicit.pair import parameter_groups


@dataclass(frozen=True, eq=False)
class _Served:
    engine: Engine
    places: tuple[tuple[int, int], ...]
    """Address and version of every parameter."""
    corners: tuple[Shaped[Tensor, " two"], ...]
    """First and last entry of every parameter: writes past torch's versions show there."""


_SERVED: WeakKeyDictionary[nn.Module, _Served] = WeakKeyDictionary()


@contextmanager
def serving(engines: Mapping[nn.Module, Engine]) -> Iterator[None]:
    """Let engines write and read for models inside the block.

    Args:
        engines: By bridge; checked beforehand to compute what the bridge computes.
    """
    before = {model: _SERVED.get(model) for model in engines}
    for model, engine in engines.items():
        _SERVED[model] = _Served(engine, _places(model), _corners(model))
    try:
        yield
    finally:
        for model, known in before.items():
            if known is None:
                _SERVED.pop(model, None)
            else:
                _SERVED[model] = known


def engine_of(model: nn.Module) -> Engine | None:
    """The engine that serves a model as it is now; None if none does, or its weights changed.

    Args:
        model: A bridge.
    """
    served = _SERVED.get(model)
    if served is None or _places(model) != served.places:
        return None
    same = zip(_corners(model), served.corners, strict=True)
    return served.engine if all(torch.equal(one, other) for one, other in same) else None


def _live(model: nn.Module) -> list[nn.Parameter]:
    return [part for group in parameter_groups(model).values() for part in group.all]


def _places(model: nn.Module) -> tuple[tuple[int, int], ...]:
    return tuple((part.data_ptr(), part._version) for part in _live(model))


def _corners(model: nn.Module) -> tuple[Tensor, ...]:
    """First and last entry of every parameter, those of one dtype and device together."""
    ends: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for part in _live(model):
        data = part.data
        both = torch.stack([data[(0,) * data.ndim], data[(-1,) * data.ndim]])
        ends.setdefault((data.dtype, data.device), []).append(both)
    return tuple(torch.cat(each) for each in ends.values())
