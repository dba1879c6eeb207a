"""What a reading of depths says in words: who settles later, and what that owes to a convention."""

from collections.abc import Sequence

import torch

from elicit.results import Result
from elicit.results.drawing import interval, number, visible
from elicit.revision import DepthByGroup, DepthConvention, Sensitivity, Settling

_WHERE = {
    "given": "On the same tokens of the given traces",
    "base": "On the same tokens of what base wrote",
    "post": "On the same tokens of what post wrote",
    "prompt": "At the decision after the prompt",
}
NAMES = {
    "given": "given traces",
    "base": "texts of base",
    "post": "texts of post",
    "prompt": "decision after the prompt",
}
"""Sources of traces in tables."""


def revise_sentences(results: Sequence[Result]) -> list[str]:
    """What the readings among some results found: depths, ratio and its band, difficulty.

    Args:
        results: Results of any kind.
    """
    told: list[str] = []
    for found in results:
        if isinstance(found, Settling):
            first, *others = found.source
            told.append(f"{depth_sentence(found, first)} {ratio_sentence(found, first)}".strip())
            told.append(" ".join(depth_sentence(found, source) for source in others))
        elif isinstance(found, Sensitivity):
            told.append(band_sentence(found))
        elif isinstance(found, DepthByGroup):
            told.append(group_sentence(found))
    return [sentence for sentence in told if sentence]


def depth_sentence(found: Settling, source: str) -> str:
    """Which model settles later on the texts of one source, if that can be told.

    Args:
        found: Depths that were read.
        source: Which texts.
    """
    i = found.source.index(source)
    where = _WHERE.get(source, f"On the same tokens of “{visible(source)}”")
    if same_everywhere(found, source):
        return (
            f"{where}, every layer of post predicts exactly what that of base does: every "
            "difference is exactly 0."
        )
    value, low, high = found.depth_diff[i].ends
    if low != low:
        return (
            f"{where}, post’s predictions settle {number(value, sign=True, digits=2)} layers later "
            "than base’s on one problem, which says nothing of others."
        )
    if low <= 0 <= high:
        return (
            f"{where}, it cannot be told whether post’s predictions settle earlier or later than "
            f"base’s ({interval(value, low, high, digits=2)} layers)."
        )
    way = "later" if value > 0 else "earlier"
    size = sized(value, low, high)
    return f"{where}, post’s predictions settle {size} layers {way} than base’s."


def same_everywhere(found: Settling, source: str) -> bool:
    """Whether both models have the very same divergences on the texts of a source.

    Args:
        found: Depths that were read.
        source: Which texts.
    """
    own = found.jsd[:, :, found.source_of == found.source.index(source)]
    return torch.equal(own[0], own[1])


def ratio_sentence(found: Settling, source: str) -> str:
    """How much more or less of the tokens settles deep in post; empty where nothing differs.

    Args:
        found: Depths that were read.
        source: Which texts.
    """
    i = found.source.index(source)
    if same_everywhere(found, source):
        return ""
    base, post = (percent(found.dtr.value[i, m].item()) for m in (0, 1))
    told = f"Of these tokens, {base} in base and {post} in post settle deep, {deep_text(found)}: "
    value, low, high = (100 * end for end in found.dtr_diff[i].ends)
    if low != low:
        return ""
    if low <= 0 <= high:
        return f"{told}no clear difference ({interval(value, low, high, digits=1)} points)."
    way = "more" if value > 0 else "fewer"
    return f"{told}{sized(value, low, high, digits=1)} points {way} in post."


def deep_text(found: Settling) -> str:
    """Where deep begins, in words.

    Args:
        found: Depths that were read.
    """
    if found.deep_from == found.n_layers:
        return f"that is, not before the last of {found.n_layers} layers"
    return f"at layer {found.deep_from} of {found.n_layers} or later"


def band_sentence(found: Sensitivity) -> str:
    """Whether the difference of the ratios keeps its sign over the band of conventions.

    Args:
        found: Ratios over a band of conventions.
    """
    n = found.dtr_diff.value.numel()
    if found.dtr_diff.low.isnan().any() or not found.dtr_diff.value.any():
        return ""
    if found.sign:
        way = "more" if found.sign > 0 else "less"
        return f"Post settles deep {way} often under all {n} conventions that were tried."
    up, down = int((found.dtr_diff.low > 0).sum()), int((found.dtr_diff.high < 0).sum())
    least, most = (
        100 * end.item() for end in (found.dtr_diff.value.min(), found.dtr_diff.value.max())
    )
    low, high = (number(end, sign=True, digits=1) for end in (least, most))
    reach = f"from {low} to {high} points"
    if up and down:
        return (
            f"Whether post settles deep more often depends on the convention: more often under "
            f"{up} of {n} that were tried, less often under {down} ({reach})."
        )
    way = f" ({'more' if up else 'less'} in post)" if up or down else ""
    return (
        "How much more often tokens settle deep in post depends on the convention: over those that "
        f"were tried it goes {reach}, and is clear of 0{way} under {up + down or 'none'} of {n}."
    )


def group_sentence(found: DepthByGroup) -> str:
    """How depth goes from the first group to the last in both models.

    Args:
        found: Depths of groups of tokens.
    """
    told = []
    for m, model in enumerate(found.model):
        value, low, high = found.step[m, -1].ends
        if low != low:
            return ""
        clear = "" if low > 0 or high < 0 else ", not clear of 0"
        told.append(f"{interval(value, low, high, digits=2)} layers in {visible(model)}{clear}")
    first, last = (visible(found.group[i]) for i in (0, -1))
    return f"From difficulty {first} to {last}, mean depth changes by {' and '.join(told)}."


def convention_text(convention: DepthConvention, n_layers: int) -> str:
    """A convention spelled out.

    Args:
        convention: What settled and deep mean.
        n_layers: Blocks of the models.
    """
    c = convention
    norms = {
        "once": "The final norm is applied once to the residual stream of every layer",
        "none": "No state gets the final norm, not even the last",
        "twice": "Every state gets the final norm once, the last one twice",
    }
    reading = {
        "first_hit": "the first layer whose prediction comes",
        "last_exit": "the first layer from which on all predictions stay",
    }
    return (
        f"{norms[c.norm]}, then the model’s own unembedding. A prediction settles at "
        f"{reading[c.reading]} within g = {c.threshold:g} {c.unit} ({number(c.nats)} nats) of the "
        "model’s own final one, in Jensen–Shannon divergence. Settling is deep from layer "
        f"⌈ρL⌉ = ⌈{c.rho:g} · {n_layers}⌉ = {c.deep_from(n_layers)} on. "
        + ("The embedding counts as layer 0." if c.first_layer == 0 else "Layers count from 1.")
    )


def sized(value: float, low: float, high: float, *, digits: int = 2) -> str:
    """The size of a difference whose direction the words around it say.

    Args:
        value: Difference.
        low: Lower end.
        high: Upper end.
        digits: Decimals.

    >>> sized(-0.3, -0.4, -0.2)
    '0.30 [0.20, 0.40]'
    """
    if value < 0:
        value, low, high = -value, -high, -low
    return interval(value, low, high, digits=digits).removeprefix("+")


def percent(share: float) -> str:
    """A share in percent.

    Args:
        share: 0 to 1.

    >>> percent(0.0553), percent(0.0)
    ('5.5 %', '0 %')
    """
    return f"{number(100 * share, digits=1)} %"
