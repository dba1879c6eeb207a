"""How a question is executed: tokens per forward pass, memory, checkpoint, progress."""

from dataclasses import dataclass, field, replace

from elicit.runs.checkpoint import Checkpoint, NoCheckpoint, ScopedCheckpoint
from elicit.runs.progress import NoProgress, Progress


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a question is executed; it changes cost and memory, never a number beyond rounding.

    Raises:
        ValueError: A limit is below 1.
    """

    max_tokens: int = 8192
    """Most tokens in one forward pass, padding counted; bounds the memory of activations."""
    memory: int = 256 * 2**20
    """Bytes that block-wise buffers (logits of a block of tokens, edges) may take."""
    checkpoint: Checkpoint = field(default_factory=NoCheckpoint)
    """Keeps finished pieces, so that a run that was killed goes on; a run directory is one."""
    progress: Progress = field(default_factory=NoProgress)
    """Told how far the work is."""

    def __post_init__(self) -> None:
        """Refuse limits that leave no room for any work."""
        for name, what in (("max_tokens", "a forward pass"), ("memory", "a buffer")):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(
                    f"{name} is {value}, and {what} needs at least 1, so nothing could be "
                    f"computed. Pass a larger {name}."
                )

    def scoped(self, name: str) -> "Execution":
        """The same execution with checkpoint keys under a name of their own.

        Args:
            name: What comes before each key.
        """
        return replace(self, checkpoint=ScopedCheckpoint(self.checkpoint, name))

    def quiet(self) -> "Execution":
        """The same execution with nobody watching, for steps that another job counts."""
        return replace(self, progress=NoProgress())
