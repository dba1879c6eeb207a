"""Which gates of a hybrid are measured, and how strongly each may push."""

import math
from dataclasses import dataclass
from typing import Literal

from elicit.elicitation.errors import ElicitationError

Gate = Literal["oracle", "learned", "first", "all", "random", "none"]
GATES: tuple[Gate, ...] = ("oracle", "learned", "first", "all", "random", "none")
"""All switches."""


@dataclass(frozen=True, kw_only=True)
class HybridDesign:
    """Gates, coefficients and controls of a hybrid.

    Raises:
        ElicitationError: A gate or coefficient is repeated, unknown or useless.
    """

    gates: tuple[Gate, ...] = GATES
    """Switches under which the fitted vector is added: `oracle`, where the greedy tokens of base
    and post differ; `learned`, by base's own state; `first`, the prompt's last token; `all`;
    `random`, as often as the learned switch fires; `none`."""
    coefficients: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Multiples of the vector, of which every gate and control gets its own, chosen on the problems
    to choose on. With the guardrail all are candidates at every token."""
    threshold: float = 0.5
    """Least probability at which the learned switch fires."""
    rerank: int = 5
    """Of the arm without a vector: post picks among so many of base's most probable tokens."""
    n_random: int = 1
    """Random vectors of the fitted one's norm, under the learned switch."""
    guardrail: bool = False
    """Whether post picks, at every token that is pushed, between base's own token and the pushed
    ones. Post then helps to write, and how well a gate does measures whether post's token is among
    base's candidates."""

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        if not self.gates or len(set(self.gates)) < len(self.gates) or set(self.gates) - {*GATES}:
            raise ElicitationError(
                f"gates is {self.gates}, and each of {', '.join(GATES)} can be measured once. Pass "
                "one or more of these."
            )
        usable = all(math.isfinite(c) and c for c in self.coefficients)
        if (
            not self.coefficients
            or not usable
            or len({*self.coefficients}) < len(self.coefficients)
        ):
            raise ElicitationError(
                f"coefficients is {self.coefficients}, and each multiplies the vector, so it must "
                "be finite, not 0 and there once. The gate 'none' is the text without a push."
            )
        if not 0 < self.threshold < 1 or self.rerank < 2 or self.n_random < 1:
            raise ElicitationError(
                f"threshold is {self.threshold}, rerank {self.rerank} and n_random "
                f"{self.n_random}: a probability inside (0, 1), a choice among 2 tokens or more "
                "and 1 random vector at least are needed, for no gate is read without them."
            )
        if "random" in self.gates and not {"learned", "oracle"} & {*self.gates}:
            raise ElicitationError(
                f"gates is {self.gates}, and the random gate fires as often as the learned one, "
                "or else the oracle, so one of these must be measured. Add it."
            )
