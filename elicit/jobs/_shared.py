"""What the runs of one audit share: the loaded pair, and texts that one of them has written."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from elicit.pair import ModelPair
from elicit.runs import Checkpoint

_BY_CONTENT = "rollouts-"
"""Keys that hold a digest of weights, edits, sampling and rows: equal ones have equal values."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Shared:
    """What several runs have in common; no value depends on it."""

    pair: ModelPair
    """The two models."""
    texts: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    """Texts by the digest of everything that they depend on."""

    def over(self, checkpoint: Checkpoint) -> Checkpoint:
        """A run's checkpoint that asks the other runs before texts are written anew.

        Args:
            checkpoint: The run's own, which keeps the texts too.
        """
        return SharedTexts(checkpoint, self.texts)


@dataclass(frozen=True, eq=False)
class SharedTexts:
    """A checkpoint that takes texts of other runs where everything that they depend on is equal."""

    checkpoint: Checkpoint
    """The run's own."""
    texts: dict[str, dict[str, Tensor]]
    """See `Shared.texts`."""

    def get_or_compute(
        self, key: str, compute: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The values of a key: the run's own, another run's, or computed."""
        name = key.rpartition("/")[2]
        if not name.startswith(_BY_CONTENT):
            return self.checkpoint.get_or_compute(key, compute)
        values = self.checkpoint.get_or_compute(key, lambda: self.texts.get(name) or compute())
        return self.texts.setdefault(name, values)
