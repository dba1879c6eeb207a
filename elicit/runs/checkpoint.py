"""Where finished pieces of a long job are kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Checkpoint(Protocol):
    """Remembers finished pieces of work; a run directory is one."""

    def get_or_compute(
        self, key: str, compute: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The values of a key, computed once."""
        ...


class NoCheckpoint:
    """Remembers nothing."""

    def get_or_compute(
        self, key: str, compute: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Compute, every time."""
        return compute()


@dataclass(frozen=True)
class ScopedCheckpoint:
    """A checkpoint under a name of its own, so that jobs of one run do not share keys."""

    checkpoint: Checkpoint
    """Where the pieces are kept."""
    name: str
    """What comes before each key."""

    def get_or_compute(
        self, key: str, compute: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The values of a key under this name, computed once."""
        return self.checkpoint.get_or_compute(f"{self.name}/{key}", compute)
