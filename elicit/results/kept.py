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


class CellsUnder:
    """Cells of a run under a name of their own, so that jobs of one run do not share any."""

    def __init__(self, cells: Cells, name: str) -> None:
        """Put a name before every key.

        Args:
            cells: Where the pieces are kept.
            name: What comes before each key.
        """
        self._cells, self._name = cells, name

    def cell(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The values of a key under this name, computed once."""
        return self._cells.cell(f"{self._name}/{key}", compute)
