"""Definitions of "settled" and "deep", stored with every result.

The deep-thinking ratio is computed in several ways that do not agree: bits or nats, which states
get the final norm, the first hit or staying settled. Each choice is stated here.
"""

import math
from dataclasses import dataclass
from typing import Literal

from elicit.revision.errors import RevisionError
from elicit.revision.lens import Norm
from elicit.texts import LN2

Unit = Literal["bits", "nats"]
Reading = Literal["first_hit", "last_exit"]


@dataclass(frozen=True, kw_only=True)
class DepthConvention:
    """When a prediction counts as settled, and how late is deep.

    The defaults are those of Chen et al. 2026 (arXiv:2602.13517), corrected: g = 0.5 is
    in bits, because their sweep goes to 0.75 and no divergence exceeds ln 2 = 0.693 nats; the final
    norm is applied to every state, without which nothing settles before the last layer; deep begins
    at a depth of ⌈ρL⌉ layers (Eq. 5, not Algorithm 1); and their running minimum is equivalent to
    the first hit.

    Raises:
        RevisionError: The threshold is out of the range of its unit, or ρ of (0, 1].
    """

    threshold: float = 0.5
    """The paper's g: divergence from the final prediction up to which a layer counts as settled."""
    unit: Unit = "bits"
    """Unit of the threshold; 1 bit is ln 2 nats, the largest divergence there is."""
    rho: float = 0.85
    """The paper's ρ: share of the layers after which settling is deep."""
    reading: Reading = "first_hit"
    """`first_hit`: the first layer within the threshold (the paper's). `last_exit`: the first layer
    from which on all are within it."""
    norm: Norm = "once"
    """Final norm of the states: `once` each, as in the model; `none`, not even the last; `twice`,
    once but the last state twice, as when Hugging Face's last hidden state, already normed, is
    taken for the raw stream."""
    layers: Literal["blocks", "embedding_and_blocks"] = "blocks"
    """Whether the embedding counts as a layer that a prediction can settle at. The last layer's
    divergence from itself is 0, so that counting it or not changes no depth."""

    def __post_init__(self) -> None:
        """Validate threshold and rho."""
        for name, allowed in (
            ("unit", ("bits", "nats")),
            ("reading", ("first_hit", "last_exit")),
            ("norm", ("once", "none", "twice")),
            ("layers", ("blocks", "embedding_and_blocks")),
        ):
            if getattr(self, name) not in allowed:
                raise RevisionError(
                    f"{name} is {getattr(self, name)!r}, which is not known, so depths would mean "
                    f"nothing. Pass one of {', '.join(allowed)}."
                )
        largest = 1.0 if self.unit == "bits" else LN2
        if not 0 <= self.threshold < largest:
            other = "" if self.unit == "bits" else " (a threshold from a paper may be in bits)"
            raise RevisionError(
                f"threshold is {self.threshold} {self.unit} and a Jensen-Shannon divergence lies "
                f"in [0, {largest:.3g}] {self.unit}, so every token or none would count as "
                f"settled. Pass at least 0 and less than {largest:.3g}{other}."
            )
        if not 0 < self.rho <= 1:
            raise RevisionError(
                f"rho is {self.rho}, and it is the share of the layers after which settling is "
                "deep. Pass more than 0 and at most 1, for example 0.85."
            )

    @property
    def nats(self) -> float:
        """The threshold in nats."""
        return self.threshold * (LN2 if self.unit == "bits" else 1.0)

    @property
    def first_layer(self) -> int:
        """Smallest depth, layers run, at which a prediction can settle; 0 is the embedding."""
        return 0 if self.layers == "embedding_and_blocks" else 1

    def deep_from(self, n_layers: int) -> int:
        """Smallest depth, layers run, at which settling is deep: ⌈ρL⌉.

        Raises:
            RevisionError: No layer lies below it, so that every token would be deep.
        """
        # Rounding above a whole number must not count as a layer.
        late = math.ceil(self.rho * n_layers - 1e-9)
        if late <= self.first_layer:
            raise RevisionError(
                f"the model has {n_layers} layer{'s' if n_layers != 1 else ''} and deep begins at "
                f"a depth of {late} (rho {self.rho}), below which none of the layers {self.layers} "
                "count lies, so every token would be deep. Pass a larger rho or a model with more "
                "layers."
            )
        return late

    def __str__(self) -> str:
        """The convention in one line."""
        norms = {"once": "final norm", "none": "no norm", "twice": "last state normed twice"}
        return (
            f"g = {self.threshold:g} {self.unit}, ρ = {self.rho:g}, "
            f"{self.reading.replace('_', ' ')}, {norms[self.norm]}"
            + (", embedding counted" if self.first_layer == 0 else "")
        )


CONVENTIONS: dict[str, DepthConvention] = {
    "paper": DepthConvention(),
    "jemin7709/deep-think-ratio": DepthConvention(),
    "jemin7709/deep-think-ratio (raw)": DepthConvention(norm="none"),
    "maxzuo/deep-think-tokens": DepthConvention(unit="nats", norm="none"),
    "mostafaelaraby/deep-thinking-tokens": DepthConvention(unit="nats", norm="twice"),
}
"""Conventions of the paper and of its public implementations, from their code in November 2026. The
second computes divergences only; its depths follow the paper's rule here."""
