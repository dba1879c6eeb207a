"""Plans: sizes, rates and budgets of training."""

import math
from dataclasses import dataclass
from typing import Literal

from elicit.elicitation.training.errors import TrainingError
from elicit.rollouts import Generation

Trainable = Literal["all", "lora", "bias", "tiny"]
"""What is trained: all weights; a low-rank change of every matrix in the layers; one vector a layer
on its output; or a few numbers shared by all layers."""
RATES: dict[Trainable, float] = {"all": 4e-4, "lora": 2e-3, "bias": 4e-3, "tiny": 0.15}
"""Learning rates for reinforcement learning, if none is given."""
TUNING_RATES: dict[Trainable, float] = {"all": 1e-3, "lora": 4e-3, "bias": 1e-2, "tiny": 2e-2}
"""Learning rates for fine-tuning, if none is given."""
Backend = Literal["own", "trl"]
"""The loop of this package, exact and resumable, or trl's, for models that need its machinery."""


@dataclass(frozen=True, kw_only=True)
class GrpoPlan:
    """Sizes, rates and budgets of reinforcement learning.

    Raises:
        TrainingError: A number leaves nothing to train.
    """

    steps: int = 24
    """Most updates, at least 1."""
    groups: int = 16
    """Problems of an update."""
    group: int = 8
    """Texts of each problem, among which a text is better or worse, at least 2."""
    learning_rate: float | None = None
    """Of AdamW; None takes that of `RATES` for what is trained."""
    clip_norm: float = 1.0
    """Largest norm of a gradient, which is scaled down to it."""
    stop_reward: float = 0.95
    """Training ends with the first update whose texts earn so much on average."""
    stop_right: float = 0.95
    """Training ends with the first checkpoint at which this share of the problems to choose on is
    right; above 1 it never does."""
    every: int = 4
    """Updates between checkpoints; at each the problems to choose on are answered."""
    budget: int | None = None
    """Most tokens that training may read and write; None: as many as `steps` take."""
    constant: Literal["refuse", "keep"] = "refuse"
    """What happens when all texts of the first updates earn the same: refused, because it is most
    often a mistake; or kept as what came out, because nothing was learned."""
    generation: Generation = Generation(batch_size=128)
    """How texts are written and graded; sampled at temperature 1, whatever it says, because the
    gradient is that of the model's own texts."""
    backend: Backend = "own"
    """Whose loop."""

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        check_least(self, {"steps": 1, "groups": 1, "group": 2, "every": 1})
        check_rate(self.learning_rate)
        check_norm(self.clip_norm)

    def rate(self, trainable: Trainable) -> float:
        """The learning rate of something that is trained.

        Args:
            trainable: What is trained.
        """
        return RATES[trainable] if self.learning_rate is None else self.learning_rate


@dataclass(frozen=True, kw_only=True)
class FineTunePlan:
    """Sizes, rates and budgets of fine-tuning.

    Raises:
        TrainingError: A number leaves nothing to train.
    """

    steps: int = 40
    """Most updates, at least 1."""
    batch: int = 32
    """Documents of an update."""
    learning_rate: float | None = None
    """Of AdamW, after the warm-up; None takes that of `TUNING_RATES` for what is trained."""
    warm_up: int = 5
    """Updates over which the rate rises to it."""
    clip_norm: float = 1.0
    """Largest norm of a gradient, which is scaled down to it."""
    stop_right: float = 0.95
    """Training ends with the first checkpoint at which this share of the problems to choose on is
    right; above 1 it never does."""
    every: int = 10
    """Updates between checkpoints; at each the problems to choose on are answered."""
    budget: int | None = None
    """Most tokens that training may read; None: as many as `steps` take."""
    generation: Generation = Generation(batch_size=128)
    """How problems to choose on are answered, and whether prompts go through a template."""
    backend: Backend = "own"
    """Whose loop."""

    def __post_init__(self) -> None:
        """Refuse numbers that train nothing."""
        check_least(self, {"steps": 1, "batch": 1, "every": 1, "warm_up": 1})
        check_rate(self.learning_rate)
        check_norm(self.clip_norm)

    def rate(self, trainable: Trainable) -> float:
        """The learning rate of something that is trained.

        Args:
            trainable: What is trained.
        """
        return TUNING_RATES[trainable] if self.learning_rate is None else self.learning_rate


def check_norm(norm: float) -> None:
    """Refuse a largest norm of gradients at which nothing moves.

    Args:
        norm: Gradients are scaled down to it.

    Raises:
        TrainingError: It is not above 0, or not finite.
    """
    if not 0 < norm < math.inf:
        raise TrainingError(
            f"clip_norm is {norm}, and gradients are scaled down to it, so nothing would move. "
            "Pass a finite number above 0."
        )


def check_least(plan: object, least: dict[str, int]) -> None:
    """Refuse a count of a plan that is too small.

    Args:
        plan: Has the counts as fields.
        least: Smallest value of each.

    Raises:
        TrainingError: One is smaller.
    """
    for name, low in least.items():
        if getattr(plan, name) < low:
            raise TrainingError(
                f"{name} is {getattr(plan, name)} and at least {low} is needed, or nothing would "
                f"be trained. Pass {low} or more."
            )


def check_rate(rate: float | None) -> None:
    """Refuse a learning rate that trains nothing.

    Args:
        rate: None: a default one.

    Raises:
        TrainingError: It is not above 0, or not finite.
    """
    if rate is not None and not 0 < rate < math.inf:
        raise TrainingError(
            f"learning_rate is {rate}, so nothing sensible would be trained. Pass a finite number "
            "above 0."
        )
