"""Rules by which a text takes another model's tokens."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int
from torch import Tensor

from elicit.rollouts import Rollouts, Takes
from elicit.traces.errors import TraceError

RuleKind = Literal["jsd", "random", "entropy"]


@dataclass(frozen=True, kw_only=True)
class TakeRule:
    """Where the donor's token is taken.

    Raises:
        TraceError: The threshold or the first token is negative.
    """

    kind: RuleKind
    """`jsd`: where base and post differ; `entropy`: where the host is unsure; `random`: at random
    tokens of the host's own text, as many as the first other rule used in the same problem at the
    same budget, or as the budget allows where `random` is the only rule."""
    threshold: float = 0.1
    """Least Jensen-Shannon divergence, or entropy, at which a token is taken, nats."""
    first: int = 0
    """First token of the text that may be taken: 1 leaves the text's opening to the host."""

    def __post_init__(self) -> None:
        """Refuse what could not be meant."""
        if self.threshold < 0 or self.first < 0:
            raise TraceError(
                f"tokens are to be taken from {self.threshold} nats and from token {self.first} of "
                "a text on, and neither can be negative. Pass 0 or more."
            )

    def __str__(self) -> str:
        """As tables call it."""
        at = "" if self.kind == "random" else f" ≥ {self.threshold:g}"
        return f"{self.kind}{at}" + (f", from token {self.first} on" if self.first else "")


RULES = (
    TakeRule(kind="jsd"),
    TakeRule(kind="random"),
    TakeRule(kind="entropy", threshold=0.3, first=1),
)
"""Where the models differ; and two controls that take as many tokens where they need not."""


def takes_of(
    rule: TakeRule,
    budget: int | None,
    own: Rollouts,
    seed: int,
    matched: Int[Tensor, " problem"] | None,
) -> list[Takes]:
    """Where the text of each problem takes tokens; random places come from the host's own text.

    Args:
        rule: The rule.
        budget: Most tokens; None is without end.
        own: The host's own texts.
        seed: Draws random places.
        matched: Random places of each problem's text; None: as many as the budget.
    """
    if rule.kind != "random":
        one = Takes(kind=rule.kind, budget=budget, threshold=rule.threshold, first=rule.first)
        return [one] * len(own.problem)
    found = []
    for place, n_tokens in enumerate(own.n_tokens.tolist()):
        drawn = np.random.default_rng([seed, place, 11]).permutation(n_tokens)
        count = budget if matched is None else int(matched[place])
        chosen = [int(at) for at in drawn if at >= rule.first][:count]
        found.append(Takes(kind="places", budget=budget, places=tuple(sorted(chosen))))
    return found
