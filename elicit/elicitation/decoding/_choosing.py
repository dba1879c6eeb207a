"""Choose a setting on problems of its own, and say what was rejected."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation.errors import ElicitationError


@dataclass(frozen=True, eq=False, kw_only=True)
class ChosenSetting:
    """The setting that is best on the problems to choose on."""

    name: str
    """The setting."""
    right: Float[Tensor, " problem"]
    """Whether it is right there."""
    rejected: tuple[str, ...]
    """The others with their accuracies."""


def best_setting(right: Mapping[str, Float[Tensor, " problem"]]) -> ChosenSetting:
    """The setting of the highest accuracy; of equal ones the first.

    Args:
        right: Whether each setting is right on each problem, the simplest first.
    """
    if not right:
        raise ElicitationError("no setting is given, so none could be chosen. Pass one or more.")
    means = {name: each.double().mean().item() for name, each in right.items()}
    best = max(means, key=lambda name: means[name])
    return ChosenSetting(
        name=best,
        right=right[best].double(),
        rejected=tuple(f"{name}: {mean:.3f}" for name, mean in means.items() if name != best),
    )


def no_samples(n: int) -> Float[Tensor, " problem"]:
    """Where no texts are drawn at temperature 1."""
    return torch.full((n,), torch.nan, dtype=torch.float64)
