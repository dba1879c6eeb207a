"""One answer of an audit, and what its words need: numbers, names of layers, what would be seen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from elicit.results import Estimate, number

Strength = Literal["strong", "moderate", "weak", "none", "not asked"]
"""`strong`: every criterion holds, named in `rests_on`. `moderate`: some do not, none speaks
against it. `weak`: a control does as much, or another part of the audit says otherwise. `none`:
nothing was found. `not asked`: no run told."""
POWER = 0.8


@dataclass(frozen=True, eq=False, kw_only=True)
class Answered:
    """What an audit says of one question."""

    verdict: str
    """In a word or two."""
    says: str
    """In sentences, the answer first."""
    clause: str
    """As part of the audit's first sentence; empty where nothing was found."""
    strength: Strength
    """How strong the evidence is."""
    rests_on: str
    """Which criteria hold and which do not."""
    effect_name: str = ""
    """The number that it rests on most."""
    effect: Estimate
    """That number."""
    border: float = 0.0
    """What it is held against."""
    control_name: str = ""
    """The strongest of its controls; empty where there is none."""
    control: Estimate
    """The same number under that control."""
    unit: str = ""
    """Unit of both."""
    detectable: float = math.nan
    """Effect that would likely have been seen."""
    detectable_of: str = ""
    """What that is an effect on."""


def not_asked(why: str) -> Answered:
    """An answer that no run gives.

    Args:
        why: What is missing, as sentences.
    """
    missing = Estimate.missing()
    return Answered(
        verdict="not asked",
        says=sentence(why),
        clause="",
        strength="not asked",
        rests_on="No run of this audit answers this.",
        effect=missing,
        control=missing,
    )


def likely_seen(estimate: Estimate, level: float, n: int) -> float:
    """Effect whose interval, as wide as this one, would exclude 0 with a chance of 80 %.

    Where all problems agree, the interval has no width, and it is the share that so many of them
    leave room for.

    Args:
        estimate: A single number.
        level: Coverage of its interval.
        n: Number of problems.
    """
    value, low, high = estimate.ends
    z = NormalDist().inv_cdf((1 + level) / 2)
    half = max(high - value, value - low)
    if not half > 0:
        return 1 - (1 - level) ** (1 / n) if n else math.nan
    return half * (z + NormalDist().inv_cdf(POWER)) / z


def spread(estimate: Estimate, *, sign: bool = False) -> str:
    """A number with its interval: `0.74 [0.66, 0.82]`.

    Args:
        estimate: A single number.
        sign: Whether a plus is written.
    """
    value, low, high = estimate.ends
    told = number(value, sign=sign, digits=2)
    if math.isnan(low) or math.isnan(high):
        return told
    return f"{told} [{number(low, digits=2)}, {number(high, digits=2)}]"


def beats(effect: Estimate, control: Estimate) -> bool:
    """Whether an effect's interval lies above its control's; false where either is unknown.

    Args:
        effect: A single number, above 0 where the claim holds.
        control: The same under the control.
    """
    return effect.low.item() > control.high.item()


def negative(estimate: Estimate) -> Estimate:
    """The same with the other sign.

    Args:
        estimate: Any numbers.
    """
    return Estimate(value=-estimate.value, low=-estimate.high, high=-estimate.low)


def listed(layers: Sequence[int]) -> str:
    """Layers in words: `layer 3`, `layers 1 and 4`.

    Args:
        layers: At least one.
    """
    names = [str(layer) for layer in layers]
    if len(names) == 1:
        return f"layer {names[0]}"
    if len(names) > 3 and list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"layers {names[0]} to {names[-1]}"
    return f"layers {', '.join(names[:-1])} and {names[-1]}"


def sentence(text: str) -> str:
    """Text with a capital and a full stop.

    Args:
        text: Any text.
    """
    text = text.strip()
    text = f"{text[:1].upper()}{text[1:]}"
    return text if text.endswith((".", "!", "?")) else f"{text}."
