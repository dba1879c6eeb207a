"""What is refused before any model runs."""

import math
from collections.abc import Sequence

from elicit.verdicts.deciding import Options, fewest_draws
from elicit.verdicts.errors import VerdictError


def check_options(
    options: Options,
    *,
    strengths: Sequence[float],
    choose_share: float,
    n_random: int,
    n_controls: int,
    n_redrawn: int,
    margin: float,
    least_share: float,
) -> None:
    """Refuse options from which no verdict could follow.

    Raises:
        VerdictError: Names the option.
    """
    if not 0 < options.inference.level < 1:
        raise VerdictError(
            f"level is {options.inference.level}, and it is a probability strictly between 0 and "
            "1. Pass 0.95 for 95 %."
        )
    if options.inference.n_resamples < 100:
        raise VerdictError(
            f"n_resamples is {options.inference.n_resamples}, so no p-value could be small. Pass "
            "2000 or more."
        )
    for name, value in (("least_effect", options.least_effect), ("margin", margin)):
        if not 0 < value < 1:
            raise VerdictError(
                f"{name} is {value}, and it is a difference of two shares that still matters, so "
                "it lies between 0 and 1. Pass for example 0.1."
            )
    if not 0 <= least_share < 1:
        raise VerdictError(
            f"least_share is {least_share}, and it is the share of the gap that must be exceeded. "
            "Pass 0 or more and less than 1."
        )
    if not 0 < choose_share < 1:
        raise VerdictError(
            f"choose_share is {choose_share}, and problems are needed both to choose on and to "
            "test on. Pass for example 0.5."
        )
    fewest = fewest_draws(options.inference)
    if n_random < fewest:
        raise VerdictError(
            f"n_random is {n_random}, and at level {options.inference.level:g} the highest of "
            f"fewer than {fewest} random directions is exceeded by one more too often. "
            f"Pass {fewest} or more."
        )
    if n_controls < 1:
        raise VerdictError(
            f"n_controls is {n_controls}, and no probe is told without its controls. Pass 1 or "
            "more."
        )
    if n_redrawn < 0:
        raise VerdictError(
            f"n_redrawn is {n_redrawn}, and it counts draws of the base's weights. Pass 0 to leave "
            "them out, or 3."
        )
    told = [float(strength) for strength in strengths]
    if not told or len(set(told)) < len(told) or not all(0 < s < math.inf for s in told):
        raise VerdictError(
            f"strengths is {list(strengths)}, and each says how often a direction is added, finite "
            "and above 0, each once. Pass for example (1, 2, 4)."
        )
