"""What the rule of the verdict on origin reads: outcomes of arms on the same problems."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from elicit.elicitation import SEES, Sees

HALF = 0.5
"""Share of the gap that counts as most of it."""
LEAST_GAP = 0.1
"""Lower end of the gap from which on closing it says something about the skill: a smaller one can
be closed by any other way of answering."""
ROUTE = 0.3
"""Difference in the share of texts that show the behaviour which still counts as the same route."""
SOME, MOST = 0.1, 0.9
"""Borders of `partly`."""
LEARNING = 10.0
"""Ratio of code lengths from which on a skill counts as learnt rather than recalled."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ArmOutcomes:
    """What the rule reads of one arm."""

    name: str
    """Its name."""
    sees: Sees
    """What it was told."""
    control: bool
    """Whether it is a control."""
    bits: float
    """Bits that it was told."""
    chosen: float
    """Accuracy on the problems to choose on."""
    n_choose: int
    """How many these are."""
    right: Float[Tensor, " problem"]
    """Right on the test problems, mean over seeds."""
    shown: Float[Tensor, " problem"]
    """Share of its texts that show the behaviour."""
    verified: Float[Tensor, " problem"]
    """Share that is right with steps that hold; NaN without a checker."""

    @property
    def may_elicit(self) -> bool:
        """Whether closing the gap with it says that base has the skill."""
        return not self.control and self.sees in ("nothing", "answers")

    @property
    def may_refute(self) -> bool:
        """Whether closing the gap with it speaks against base not having the skill.

        What reads post's weights closes the gap by being post.
        """
        return self.sees != "post weights"


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcomes:
    """All that the rule reads."""

    base: Float[Tensor, " problem"]
    """Whether base is right on each test problem."""
    post: Float[Tensor, " problem"]
    """Whether post is."""
    post_shown: Float[Tensor, " problem"]
    """Whether post's text shows the behaviour."""
    post_verified: Float[Tensor, " problem"]
    """Whether post's text is right with steps that hold; NaN without a checker."""
    arms: tuple[ArmOutcomes, ...]
    """The arms, at least one."""
    forced: Float[Tensor, " problem"] | None = None
    """Whether base is right when it begins as post does; None where that was not tried."""
    identical: bool = False
    """Whether both models have the same weights."""
    carried: float = math.nan
    """Lower end of the share that post's difference closes on a host without the skill."""
    learning: float = math.nan
    """Bits to learn correct texts over those that the positive control takes."""
    worked: tuple[str, ...] | None = None
    """Arms that close most of the gap on a pair known to have the skill; None: no such control."""
    absent_passed: bool = True
    """Whether a pair known to lack the skill was not called elicited."""


def best_arm(arms: Sequence[ArmOutcomes]) -> int:
    """The arm that may elicit and is right most often on the problems to choose on.

    Of arms at most one problem behind the best, the one that was told least: first by what it saw,
    then by bits. -1 where none may elicit.
    """
    may = [i for i, arm in enumerate(arms) if arm.may_elicit]
    if not may:
        return -1
    most = max(arms[i].chosen for i in may)
    near = [i for i in may if arms[i].chosen >= most - 1 / max(arms[i].n_choose, 1) - 1e-9]
    return min(near, key=lambda i: (SEES.index(arms[i].sees), arms[i].bits, -arms[i].chosen, i))
