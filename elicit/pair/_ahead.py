"""Weights sent to a CUDA device ahead of the call that needs them, while another one computes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Link(Protocol):
    """The way from host memory to a device."""

    def room(self, n_bytes: int) -> Tensor:
        """Host memory from which a copy needs no processor."""
        ...

    def send(self, staged: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Any]:
        """Begin to copy; also what is told when it has ended."""
        ...

    def arrived(self, sent: Mapping[str, Tensor], ended: Any) -> None:
        """What the device computes from here on comes after the copy."""
        ...


class CudaLink:
    """Page-locked memory and a stream of its own.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        """Make the stream."""
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def room(self, n_bytes: int) -> Tensor:
        """Page-locked memory."""
        return torch.empty(n_bytes, dtype=torch.uint8, pin_memory=True)

    def send(self, staged: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], torch.cuda.Event]:
        """Copy on the stream, past what the device computes."""
        with torch.cuda.stream(self._stream):
            sent = {name: each.to(self._device, non_blocking=True) for name, each in staged.items()}
            ended = torch.cuda.Event()
            ended.record()
        return sent, ended

    def arrived(self, sent: Mapping[str, Tensor], ended: torch.cuda.Event) -> None:
        """Let the current stream wait, and keep the memory until it is done with it."""
        current = torch.cuda.current_stream(self._device)
        current.wait_event(ended)
        for each in sent.values():
            each.record_stream(current)


def link_to(device: torch.device) -> Link | None:
    """The way to a device on which copies and work go on side by side; None for others."""
    return CudaLink(device) if device.type == "cuda" else None


@dataclass(frozen=True, eq=False, kw_only=True)
class _Sent:
    """Parameters of one module on their way."""

    held: Mapping[str, nn.Parameter]
    sources: dict[str, tuple[Tensor, int]]
    tensors: dict[str, Tensor]
    ended: Any

    def is_of(self, held: Mapping[str, nn.Parameter]) -> bool:
        """Whether they are what a module holds now: no other tensor, and none that was changed."""
        return held is self.held and all(
            parameter.data_ptr() == self.sources[name][0].data_ptr()
            and parameter._version == self.sources[name][1]
            for name, parameter in held.items()
        )


class Ahead:
    """Copies of parameters, and those of the module that was called next the last time.

    The host copies them to page-locked memory, of which there is twice the largest module, and so
    reads weights only inside a call: they may be swapped at any other time.

    Args:
        link: The way to the device.
    """

    def __init__(self, link: Link) -> None:
        """Nothing is on its way."""
        self._link = link
        self._rooms: list[tuple[Tensor, Any]] = []
        self._next: dict[int, Mapping[str, nn.Parameter]] = {}
        self._place: dict[int, int] = {}
        self._last: Mapping[str, nn.Parameter] | None = None
        self._coming: _Sent | None = None

    def take(self, held: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
        """Parameters of a module on the device, for a call of it that follows at once.

        Args:
            held: The parameters in host memory; the same mapping at each call.
        """
        self._place.setdefault(id(held), len(self._place))
        if self._last is not None:
            self._next[id(self._last)] = held
        self._last = held
        coming, self._coming = self._coming, None
        mine = coming if coming is not None and coming.is_of(held) else self._send(held)
        self._link.arrived(mine.tensors, mine.ended)
        return mine.tensors

    def look_ahead(self, held: Mapping[str, nn.Parameter]) -> None:
        """Send what was needed next the last time; for when a module's own work is under way.

        Nothing after the last module, so that weights may be changed in any way between forwards.

        Args:
            held: Of the module whose work it is.
        """
        following = self._next.get(id(held))
        if following is None or held is not self._last:
            return
        if self._place[id(following)] > self._place[id(held)]:
            self._coming = self._send(following)

    def _send(self, held: Mapping[str, nn.Parameter]) -> _Sent:
        sources = {name: (each.detach(), each._version) for name, each in held.items()}
        sizes = [-(-each.nbytes // 16) * 16 for each, _ in sources.values()]
        room = self._room(sum(sizes))
        staged: dict[str, Tensor] = {}
        for (name, (each, _)), part in zip(sources.items(), room.split(sizes), strict=True):
            staged[name] = part[: each.nbytes].view(each.dtype).view(each.shape).copy_(each)
        tensors, ended = self._link.send(staged)
        self._rooms.append((room._base if room._base is not None else room, ended))
        return _Sent(held=held, sources=sources, tensors=tensors, ended=ended)

    def _room(self, n_bytes: int) -> Tensor:
        """Staging memory whose last copy has ended: of two, the one that was used first."""
        room = None
        if len(self._rooms) == 2:
            room, ended = self._rooms.pop(0)
            ended.synchronize()
        if room is None or len(room) < n_bytes:
            room = self._link.room(n_bytes)
        return room[:n_bytes]
