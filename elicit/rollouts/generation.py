"""How texts are generated: length, temperature, stop ids, samples, extraction, batches."""

import math
from dataclasses import dataclass

from elicit.pair import Side
from elicit.rollouts.errors import RolloutError
from elicit.rollouts.values import Sampling
from elicit.tasks import Extractor
from elicit.tasks import extractor as extractor_of


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How a model generates texts and how their answers are extracted.

    Raises:
        RolloutError: Nothing would be generated, or all greedy samples would be equal.
        TaskError: There is no extractor of that name.
    """

    stop_ids: tuple[int, ...] | None = None
    """Tokens that end a text; None takes the pair's, `()` lets every text run to its longest."""
    max_new_tokens: int = 256
    """Longest text, tokens, a forced prefix included; near the model's last position less."""
    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    """Mass of the most probable tokens among which one is sampled, in (0, 1]."""
    n_samples: int = 1
    """Texts a problem."""
    extractor: Extractor | str = "default"
    """Finds the answer in a text: a function, or the name of one."""
    templated: bool = False
    """Whether prompts go through the chat template."""
    batch_size: int = 64
    """Rows a batch; texts do not depend on it beyond rounding."""

    def __post_init__(self) -> None:
        """Refuse options that generate nothing."""
        if not (self.temperature >= 0 and math.isfinite(self.temperature)):
            raise RolloutError(
                f"temperature is {self.temperature}, and logits are divided by it, so it must be "
                "finite and not negative. Pass 0 for greedy text, 1 for the model's own "
                "distribution."
            )
        if not 0 < self.top_p <= 1:
            raise RolloutError(
                f"top_p is {self.top_p}, and it is the share of probability among which a token is "
                "drawn, so it must be above 0 and at most 1. Pass 1 to draw among all tokens."
            )
        for name in ("max_new_tokens", "n_samples", "batch_size"):
            if getattr(self, name) < 1:
                raise RolloutError(
                    f"{name} is {getattr(self, name)}, so no text could be generated. Pass 1 or "
                    "more."
                )
        if self.n_samples > 1 and self.temperature == 0:
            raise RolloutError(
                f"n_samples is {self.n_samples} at temperature 0, where all texts of a problem are "
                "equal, so they would be counted as many and be one. Pass n_samples=1, or a "
                "temperature above 0."
            )
        self.extract  # noqa: B018 - a name that is not known is refused here

    @property
    def extract(self) -> Extractor:
        """The function that extracts the answer from a text."""
        return extractor_of(self.extractor) if isinstance(self.extractor, str) else self.extractor

    @property
    def extractor_name(self) -> str:
        """Name of the extractor."""
        name = getattr(self.extractor, "__name__", None)
        return self.extractor if isinstance(self.extractor, str) else name or repr(self.extractor)

    def stops(self, side: Side) -> tuple[int, ...]:
        """Token ids that end a text of a model.

        Args:
            side: The model.

        Raises:
            PairError: `stop_ids` is None and neither model of the pair defines one.
        """
        return side.stop_ids if self.stop_ids is None else self.stop_ids

    def sampling(self, side: Side, seed: int) -> Sampling:
        """The record kept in results: everything that the tokens depend on.

        Args:
            side: The model.
            seed: Seed of all random streams.
        """
        return Sampling(
            stop_ids=self.stops(side),
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=seed,
            templated=self.templated,
        )
