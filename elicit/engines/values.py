"""What an engine is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from elicit.engines.pushes import Push
from elicit.sites import Site


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How the tokens of one row are drawn."""

    max_new_tokens: int
    stop_ids: tuple[int, ...]
    """The text ends with the first of these."""
    temperature: float = 0.0
    """0 takes the most probable token."""
    top_p: float = 1.0
    seed: int = 0
    """Of this row alone."""


@runtime_checkable
class Engine(Protocol):
    """Writes and reads one row at a time, or many behind its own queue."""

    @property
    def name(self) -> str:
        """Library, version and backend; part of what a text's checkpoint is called by."""
        ...

    def refuses(self, site: Site) -> str | None:
        """Why a site cannot be read or written; None if it can."""
        ...

    def write(self, ids: Sequence[int], draws: Draws, push: Push | None) -> list[int]:
        """Tokens after `ids`, the stop token included."""
        ...

    def read(
        self, ids: Sequence[int], sites: Sequence[Site], push: Push | None
    ) -> Mapping[Site, Float[Tensor, "pos d_model"]]:
        """Activations of one row."""
        ...
