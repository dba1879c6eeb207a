"""Which resampled steps say something else than the step that they replace."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from elicit.texts import StepRule
from elicit.traces.errors import TraceError


@runtime_checkable
class Embeds(Protocol):
    """Anything that puts sentences of like meaning near each other."""

    def __call__(self, texts: Sequence[str]) -> Float[Tensor, "text d"]:
        """One vector for each text.

        Args:
            texts: Sentences.
        """
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class StepFilter:
    """Of texts written on from before a step, those whose own next step means something else.

    A step that any continuation would contain again decides nothing when all are counted. Without
    the texts that only say it again, what is measured is what the answer owes to its being there.

    Raises:
        TraceError: The border is no cosine.

    Source: Bogdan et al. 2025, arXiv:2506.19143: all-MiniLM-L6-v2 with the median cosine (0.8 in
        their data) as the border.
    """

    embeds: Embeds
    """Gives the vectors; `SentenceEmbedder` loads a model for it."""
    steps: StepRule
    """Where a step of a written text ends, as in the ledgers."""
    border: float = 0.8
    """Cosine below which two steps mean something else."""

    def __post_init__(self) -> None:
        """Refuse borders at which all or nothing would differ."""
        if not -1 < self.border <= 1:
            raise TraceError(
                f"border is {self.border}, and it is a cosine below which steps count as different,"
                " so no step or every step would. Pass a number above -1 and at most 1."
            )

    def differs(self, step: str, written: Sequence[str]) -> Bool[Tensor, " text"]:
        """Whether the first step of each text means something else than a step.

        Args:
            step: The step that was there.
            written: Texts from where it began; one that ends at once differs.
        """
        own = [self._first(text) for text in written]
        vectors = torch.nn.functional.normalize(self.embeds([step, *own]).double(), dim=-1)
        if vectors.shape[0] != len(own) + 1 or not bool(vectors.isfinite().all()):
            raise TraceError(
                f"{len(own) + 1} texts were embedded and {vectors.shape[0]} vectors came back, or "
                "some are not finite, so steps could not be compared. Return one for each text."
            )
        cosine = vectors[1:] @ vectors[0]
        empty = torch.tensor([not text for text in own], dtype=torch.bool)
        return (cosine < self.border) | empty

    def _first(self, text: str) -> str:
        ends = self.steps.ends(text)
        return text[: ends[0]].strip() if ends else text.strip()


class SentenceEmbedder:
    """Vectors of a sentence-transformers model (the extra `semantic`).

    Args:
        name: Hub id or directory.
        device: Where it runs.

    Raises:
        TraceError: The package is not installed, or there is no such model.
    """

    def __init__(
        self, name: str = "sentence-transformers/all-MiniLM-L6-v2", *, device: str = "cpu"
    ) -> None:
        """Load the model."""
        try:
            package: Any = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise TraceError(
                "sentence-transformers is not installed, so no meaning of steps can be compared. "
                "Install it with `pip install 'elicit-interp[semantic]'`, or pass a function that "
                "embeds."
            ) from error
        try:
            self._model = package.SentenceTransformer(name, device=device, trust_remote_code=False)
        except (OSError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            raise TraceError(
                f"the sentence model {name!r} cannot be loaded ({why}), so no meaning of steps can "
                "be compared. Pass a directory that holds one."
            ) from error

    def __call__(self, texts: Sequence[str]) -> Float[Tensor, "text d"]:
        """See `Embeds`."""
        return self._model.encode(
            list(texts), convert_to_tensor=True, show_progress_bar=False
        ).cpu()
