"""Devices that a machine with one processor pretends to have, and that mix no more than real ones.

A tensor on `elsewhere:0` or `elsewhere:1` holds its numbers in host memory, where every operation
is computed. What a real device refuses is refused: tensors of two devices in one operation, unless
one is a single number on the CPU, an index on the CPU, or the operation copies.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import return_and_correct_aliasing

NAME = "elsewhere"
"""Type of the devices."""
N_DEVICES = 2
_aten: Any = torch.ops.aten
_COPIES = {_aten.copy_.default, _aten._to_copy.default}
_INDEXES = {
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}


class Elsewhere(Tensor):
    """A tensor on a pretended device."""

    held: Tensor
    """Its numbers, in host memory."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor, device: torch.device) -> "Elsewhere":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=device,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _computed(func, args, kwargs or {})

    def __repr__(self, **_options) -> str:
        return f"Elsewhere({self.held!r}, device={self.device})"

    @property
    def data(self) -> Tensor:
        """The tensor without its history."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        torch.Tensor.data.__set__(self, value)
        self.held = value.held

    def tolist(self) -> Any:
        """Its numbers as Python's."""
        for found in _counting:
            found["tolist"] += 1
        return self.held.tolist()

    def numpy(self, **_options: Any) -> Any:
        """Refused, as on every device but the CPU."""
        raise TypeError(f"can't convert {self.device} device type tensor to numpy.")

    def data_ptr(self) -> int:
        """Where its numbers are."""
        return self.held.data_ptr()

    def untyped_storage(self) -> Any:
        """What holds its numbers."""
        return self.held.untyped_storage()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            twin = self.detach().clone().requires_grad_(self.requires_grad)
            memo[id(self)] = twin
            if isinstance(self, torch.nn.Parameter):
                memo[id(self)] = torch.nn.Parameter(twin.detach(), self.requires_grad)
        return memo[id(self)]


def _device(name: Any) -> torch.device | None:
    """A pretended device with its number, or None for a real one."""
    if name is None:
        return None
    device = torch.device(name)
    if device.type != NAME:
        return None
    return torch.device(NAME, device.index or 0)


def _check(func: Any, args: Any, kwargs: Any) -> torch.device | None:
    """The one device of an operation's tensors; refuses two, as a real device does."""
    if func in _INDEXES:
        indices = [each for each in args[1] if each is not None]
        for each in indices:
            if each.device.type != "cpu" and each.device != args[0].device:
                raise _two(func, [args[0], each])
        args = (args[0], *args[2:])
    tensors = [each for each in pytree.tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    pretended = {each.device for each in tensors if isinstance(each, Elsewhere)}
    real = [each for each in tensors if not isinstance(each, Elsewhere) and each.ndim > 0]
    if len(pretended) > 1 or (pretended and real):
        raise _two(func, tensors)
    return next(iter(pretended), None)


def _two(func: Any, tensors: list[Tensor]) -> RuntimeError:
    where = ", ".join(f"{tuple(each.shape)} on {each.device}" for each in tensors)
    return RuntimeError(f"{func} found tensors on different devices: {where}")


def _inner(tree: Any) -> Any:
    return pytree.tree_map(lambda x: x.held if isinstance(x, Elsewhere) else x, tree)


@contextmanager
def waits(*, arrivals: bool = False) -> Iterator[Counter[str]]:
    """Counts, by operation, what makes the host wait for a device inside the block.

    Args:
        arrivals: Whether copies to a device count too, unless they are told not to block: on a GPU
            they wait until what was asked for before is computed.
    """
    counter: Counter[str] = Counter()
    lists = [_counting, *([_arriving] if arrivals else [])]
    for each in lists:
        each.append(counter)
    try:
        yield counter
    finally:
        for each in lists:
            each.pop()


_counting: list[Counter[str]] = []
_arriving: list[Counter[str]] = []
_READ = {
    _aten._local_scalar_dense,
    _aten.nonzero,
    _aten.masked_select,
    _aten.equal,
    _aten._unique2,
    _aten.bincount,
}
"""What needs a number, or a shape, from the device."""


def _count(func: Any, args: Any, kwargs: Any) -> None:
    masks = args[1] if func in _INDEXES else ()
    read = (
        func.overloadpacket in _READ
        or any(each is not None and each.dtype == torch.bool for each in masks)
        or (func is _aten._to_copy.default and str(kwargs.get("device")) == "cpu")
        or (func is _aten.copy_.default and not isinstance(args[0], Elsewhere))
        # How many there will be is a sum of what the device holds.
        or (func is _aten.repeat_interleave.Tensor and kwargs.get("output_size") is None)
    )
    if read:
        for found in _counting:
            found[str(func.overloadpacket)] += 1
    on_host = [each for each in masks if each is not None and not isinstance(each, Elsewhere)]
    if on_host and isinstance(args[0], Elsewhere):
        _count_arrival("index in host memory")


def _count_arrival(name: str) -> None:
    for found in _arriving:
        found[name] += 1


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    """An operation on host memory, under the rules of devices."""
    if _counting:
        _count(func, args, kwargs)
    if func in _COPIES:
        return _copied(func, args, kwargs)
    wanted = _device(kwargs.get("device"))
    home = _check(func, args, kwargs)
    to = home
    if kwargs.get("device") is not None:
        # A factory like another tensor, on whatever device is named.
        to = wanted
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = func(*_inner(args), **_inner(kwargs))
    if func is _aten._local_scalar_dense.default or to is None:
        return out
    made = pytree.tree_map(lambda x: Elsewhere(x, to) if isinstance(x, Tensor) else x, out)
    return return_and_correct_aliasing(func, args, kwargs, made)


def _copied(func: Any, args: Any, kwargs: Any) -> Any:
    if func is _aten._to_copy.default:
        (x,) = args
        device = kwargs.get("device")
        to = _device(device)
        if device is None and isinstance(x, Elsewhere):
            to = x.device
        kwargs = {**kwargs, "device": torch.device("cpu")}
        if to is not None and not isinstance(x, Elsewhere) and not kwargs.get("non_blocking"):
            _count_arrival("blocking copy to the device")
        made = func(_inner(x), **kwargs)
        return made if to is None else Elsewhere(made, to)
    into, x = args[:2]
    _inner(into).copy_(_inner(x))
    return into


_FACTORIES = (
    "empty.memory_format",
    "empty_strided",
    "arange",
    "arange.start",
    "arange.start_step",
    "eye",
    "eye.m",
    "full",
    "linspace",
    "ones",
    "rand",
    "randn",
    "randperm",
    "scalar_tensor",
    "zeros",
)


@cache
def pretend() -> tuple[torch.device, ...]:
    """The pretended devices, made once in a process."""
    from torch.utils.backend_registration import (
        _DummyBackendModule,
        _DummyDeviceGuard,
        _DummyPrivateUse1Hook,
        _setup_privateuseone_for_python_backend,
    )

    class Module(_DummyBackendModule):
        def device_count(self) -> int:
            return N_DEVICES

        def is_available(self) -> bool:
            # Nothing may choose them by itself: they stay for the life of the process.
            return False

    class Hook(_DummyPrivateUse1Hook):
        def is_available(self) -> bool:
            return False

    _setup_privateuseone_for_python_backend(NAME, Module(), Hook(), _DummyDeviceGuard())
    library = torch.library.Library("aten", "IMPL")
    for name in _FACTORIES:
        packet, _, overload = name.partition(".")
        func = getattr(getattr(_aten, packet), overload or "default")
        library.impl(name, _factory(func), "PrivateUse1")
    # `torch.tensor` copies below the class that computes.
    library.impl("_copy_from", _into, "PrivateUse1")
    _kept.append(library)
    return tuple(torch.device(NAME, index) for index in range(N_DEVICES))


_kept: list[Any] = []


@contextmanager
def identity_kept() -> Iterator[None]:
    """Parameters stay the same objects when a model goes to a pretended device, as to a real one.

    Otherwise torch makes new ones for tensors of another class, and tied weights come apart.
    """
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


def _into(x: Tensor, into: Tensor, non_blocking: bool = False) -> Tensor:
    if isinstance(into, Elsewhere) and not isinstance(x, Elsewhere) and not non_blocking:
        _count_arrival("blocking copy to the device")
    _inner(into).copy_(_inner(x))
    return into


def _factory(func: Any) -> Any:
    def make(*args: Any, device: Any = None, pin_memory: Any = None, **kwargs: Any) -> Elsewhere:
        made = func(*args, device=torch.device("cpu"), **kwargs)
        to = _device(device)
        assert to is not None
        return Elsewhere(made, to)

    return make
