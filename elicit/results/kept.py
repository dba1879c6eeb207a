"""Where finished pieces of a long job are kept."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Cells(Protocol):
    """Remembers finished pieces of work; a run directory is one."""

    def cell(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The values of a key, computed once."""
        ...


class NoCells:
    """Remembers nothing."""

    def cell(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Compute, every time."""
        return compute()
