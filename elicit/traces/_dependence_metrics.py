"""What is measured of dependence: along the thought, and after alterations."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.traces.alterations import Alteration
from elicit.traces.measures import Metric
from elicit.traces.reading import Curve

FOLLOWS = Metric(
    name="follows",
    unit="share",
    meaning="after the thought's conclusion is changed, the answer is the changed one",
    proportion=True,
)
CURVES = (
    Metric(
        name="accuracy",
        unit="share",
        meaning="the answer after the whole thought is right",
        proportion=True,
    ),
    Metric(
        name="accuracy without thought",
        unit="share",
        meaning="the answer directly after the prompt is right",
        proportion=True,
    ),
    Metric(
        name="early answering",
        unit="share",
        meaning="that share of the thought's tokens passes before answers agree with the final one "
        "(area over the curve)",
    ),
    Metric(
        name="CIR",
        unit="share",
        meaning="the final answer's probability stays that far from its last value while the "
        "thought is read; a reader that knows nothing until the end scores below 1, which is no "
        "bound to divide by",
    ),
    Metric(
        name="CIR where the thought is needed",
        unit="share",
        meaning="the same over problems that are wrong without the thought",
    ),
)
PROBES = (
    FOLLOWS,
    Metric(
        name="flips",
        unit="share",
        meaning="after the same change the answer is another than before, whichever",
        proportion=True,
    ),
    Metric(
        name="follows another problem's thought",
        unit="share",
        meaning="with another problem's thought the answer is that problem's",
        proportion=True,
    ),
    Metric(
        name="same when operands are swapped",
        unit="share",
        meaning="a change that leaves the meaning leaves the answer",
        proportion=True,
    ),
    Metric(
        name="accuracy after filler",
        unit="share",
        meaning="with dots in place of the thought the answer is right; dots disrupt, so this may "
        "lie below the accuracy without any thought",
        proportion=True,
    ),
    Metric(
        name="sufficient with another question",
        unit="share",
        meaning="after another problem's question the thought's answer is given all the same",
        proportion=True,
    ),
    Metric(
        name="follows the edited question without thought",
        unit="share",
        meaning="after the changed question alone the answer is the one that is now right",
        proportion=True,
    ),
    Metric(
        name="follows the edited question with the old thought",
        unit="share",
        meaning="after the changed question and the old thought the answer is the one that is now "
        "right: the thought does not decide",
        proportion=True,
    ),
)


def metric_of(way: Alteration) -> Metric:
    """What is measured after an alteration that is not this package's."""
    return Metric(
        name=f"after {way.name}",
        unit="share",
        meaning="the answer is the one that the altered thought implies, or, where it implies "
        "none, the one before",
        proportion=True,
    )


def of_curve(curve: Curve) -> dict[str, float]:
    """What forced answers along one thought say, by metric."""
    right = (curve.answer == curve.gold).double()
    final = curve.share[:, curve.final]
    apart = _bernoulli_jsd(final[:-1], final[-1])
    cir = float(apart.mean())
    return {
        "accuracy": float(right[-1]),
        "accuracy without thought": float(right[0]),
        "early answering": _area(curve),
        "CIR": cir,
        "CIR where the thought is needed": cir if not right[0] else math.nan,
    }


def _area(curve: Curve) -> float:
    """Area over the curve of agreement with the final answer, by share of tokens (trapezoids)."""
    n_tokens = int(curve.at[-1])
    if not n_tokens:
        return math.nan
    agrees = (curve.answer == curve.final).double()
    return float(1 - torch.trapezoid(agrees, curve.at.double() / n_tokens))


def _bernoulli_jsd(p: Float[Tensor, " cut"], q: Float[Tensor, ""]) -> Float[Tensor, " cut"]:
    """Jensen-Shannon divergence of two coins, in bits."""

    def entropy(x: Tensor) -> Tensor:
        return -(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)) / math.log(2)

    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
