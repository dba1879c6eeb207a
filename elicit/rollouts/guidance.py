"""At which tokens a text is guided while it is written, and how."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from elicit.results import digest_json, digest_tensors
from elicit.rollouts.errors import RolloutError
from elicit.sites import Site

SwitchKind = Literal["oracle", "learned", "first", "all", "random", "none"]


@runtime_checkable
class StateSwitch(Protocol):
    """Decides from a model's own state whether the token is pushed."""

    @property
    def digest(self) -> str:
        """Names all that it depends on."""
        ...

    def __call__(self, state: Float[Tensor, "row width"]) -> Bool[Tensor, " row"]:
        """Whether each row's newest token is pushed.

        Args:
            state: At the site, before any push.
        """
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Guidance:
    """At which tokens a text is guided while it is written, and how.

    Raises:
        RolloutError: The parts do not fit together, so that something else would be measured.
    """

    switch: SwitchKind
    """At which newest tokens: `oracle`, where the greedy tokens of host and guide differ;
    `learned`, where `state_switch` says so; `first`, the prompt's last; `all`; `random`, at a rate;
    `none`."""
    site: Site | None = None
    """Where the vector is added; None where the guide alone picks tokens."""
    vector: Float[Tensor, " width"] | None = None
    """What is added at the newest token; None where the guide alone picks tokens."""
    coefficients: tuple[float, ...] = (1.0,)
    """Multiples of the vector: one, or with the guardrail several candidates."""
    state_switch: StateSwitch | None = None
    """Of `learned`: the decision."""
    rate: float = 0.0
    """Of `random`: share of tokens, in [0, 1]."""
    guardrail: bool = False
    """Whether, of the host's own token and the pushed ones, the guide's most probable is
    written."""
    rerank: int = 0
    """Without a vector: the guide picks among so many of the host's most probable tokens at every
    token; 0 does not."""

    def __post_init__(self) -> None:
        """Refuse what could not be meant."""
        if self.rerank < 0 or self.rerank == 1 or (self.rerank and self.vector is not None):
            raise RolloutError(
                f"rerank is {self.rerank} with {'a' if self.vector is not None else 'no'} vector: "
                "the guide picks among 2 tokens or more, and together with a push the two effects "
                "could not be separated. Pass rerank=2 or more and no vector, or 0."
            )
        pushes = self.switch != "none"
        if (self.vector is None) != (self.site is None) or (
            pushes and self.vector is None and not self.rerank
        ):
            raise RolloutError(
                f"the switch is {self.switch!r} with {'no' if self.vector is None else 'a'} vector "
                f"at site {self.site}, so what is added where is not known. Pass both, or "
                "switch='none'."
            )
        if (self.switch == "learned") != (self.state_switch is not None):
            raise RolloutError(
                f"the switch is {self.switch!r} and "
                f"{'no ' if self.state_switch is None else ''}state_switch is given; 'learned' "
                "needs one and no other switch reads it. Pass both or neither."
            )
        if not self.coefficients or (len(self.coefficients) > 1 and not self.guardrail):
            raise RolloutError(
                f"coefficients is {self.coefficients} without the guardrail, and one push is made "
                "at a token. Pass one, or guardrail=True to let the guide choose among several."
            )
        if not 0 <= self.rate <= 1:
            raise RolloutError(f"rate is {self.rate}, and it is a share of tokens. Pass 0 to 1.")

    @property
    def reads_guide(self) -> bool:
        """Whether the second model is needed while the text is written."""
        return self.switch == "oracle" or self.guardrail or self.rerank > 0

    @property
    def digest(self) -> str:
        """Names all that the texts depend on here."""
        vector = {} if self.vector is None else {"vector": self.vector}
        return digest_json(
            [
                self.switch,
                str(self.site),
                list(self.coefficients),
                None if self.state_switch is None else self.state_switch.digest,
                self.rate,
                self.guardrail,
                self.rerank,
                digest_tensors(vector),
            ]
        )
