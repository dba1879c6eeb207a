"""Settling findings in sentences: which model settles later, and sensitivity to the convention."""

from collections.abc import Sequence

import torch

from elicit.results import Result, interval, number, visible
from elicit.revision import DepthByGroup, DepthConvention, Sensitivity, Settling

_WHERE = {
    "given": "On the same tokens of the given traces",
    "base": "On the same tokens of base’s texts",
    "post": "On the same tokens of post’s texts",
    "prompt": "At the decision after the prompt",
}
NAMES = {
    "given": "given traces",
    "base": "texts of base",
    "post": "texts of post",
    "prompt": "decision after the prompt",
}
"""Names of the sources of texts in tables."""


def revise_sentences(results: Sequence[Result]) -> list[str]:
    """Findings on depths, deep-thinking ratio, sensitivity and difficulty."""
    sentences = [revise_verdict(results)]
    for result in results:
        if isinstance(result, Settling):
            first, *others = result.source
            sentences.append(
                f"{depth_sentence(result, first)} {ratio_sentence(result, first)}".strip()
            )
            sentences.append(" ".join(depth_sentence(result, source) for source in others))
        elif isinstance(result, Sensitivity):
            sentences.append(band_sentence(result))
        elif isinstance(result, DepthByGroup):
            sentences.append(group_sentence(result))
    return [sentence for sentence in sentences if sentence]


def revise_verdict(results: Sequence[Result]) -> str:
    """Whether post settles later, and whether the ratio says so too; empty without depths."""
    depths = next((each for each in results if isinstance(each, Settling)), None)
    if depths is None or same_everywhere(depths, depths.source[0]):
        return ""
    value, low, high = depths.depth_diff[0].ends
    if low != low:
        return ""
    if low <= 0 <= high:
        said = "Post’s predictions settle neither clearly later nor clearly earlier than base’s"
    else:
        little = "slightly " if abs(value) < _SLIGHT * depths.n_layers else ""
        said = (
            f"Post’s predictions settle {little}{'later' if value > 0 else 'earlier'} than base’s"
        )
    band = next((each for each in results if isinstance(each, Sensitivity)), None)
    if band is None or not band.dtr_diff.value.any() or band.dtr_diff.low.isnan().any():
        return f"{said}."
    if not band.sign:
        return f"{said}; whether the deep-thinking ratio differs depends on its conventions."
    way = "higher" if band.sign > 0 else "lower"
    return f"{said}; the deep-thinking ratio is {way} in post under every convention tried."


_SLIGHT = 0.05
"""Share of the layers below which a difference of depth is called slight."""


def depth_sentence(result: Settling, source: str) -> str:
    """Which model settles later on one source's texts, if the interval excludes 0."""
    i = result.source.index(source)
    where = _WHERE.get(source, f"On the same tokens of “{visible(source)}”")
    if same_everywhere(result, source):
        return (
            f"{where}, every layer of post makes exactly the prediction of the same layer of base: "
            "every difference is exactly 0."
        )
    value, low, high = result.depth_diff[i].ends
    if low != low:
        return (
            f"{where}, post’s predictions settle {number(value, sign=True, digits=2)} layers later "
            "than base’s on one problem, which does not generalise to other problems."
        )
    if low <= 0 <= high:
        return (
            f"{where}, there is no clear difference between the depths of post’s and base’s "
            f"predictions ({interval(value, low, high, digits=2)} layers)."
        )
    way = "later" if value > 0 else "earlier"
    size = sized(value, low, high)
    return f"{where}, post’s predictions settle {size} layers {way} than base’s."


def same_everywhere(result: Settling, source: str) -> bool:
    """Whether both models have identical divergences on the texts of a source."""
    own = result.jsd[:, :, result.source_of == result.source.index(source)]
    return torch.equal(own[0], own[1])


def ratio_sentence(result: Settling, source: str) -> str:
    """Difference in the share of tokens that settle deep; empty if the models are identical."""
    i = result.source.index(source)
    if same_everywhere(result, source):
        return ""
    base, post = (percent(result.dtr.value[i, m].item()) for m in (0, 1))
    shares = (
        f"Of these tokens, {base} in base and {post} in post settle deep, {deep_text(result)}: "
    )
    value, low, high = (100 * end for end in result.dtr_diff[i].ends)
    if low != low:
        return ""
    if low <= 0 <= high:
        return f"{shares}no clear difference ({interval(value, low, high, digits=1)} points)."
    way = "more" if value > 0 else "fewer"
    return f"{shares}{sized(value, low, high, digits=1)} points {way} in post."


def deep_text(result: Settling) -> str:
    """Phrase for the depth at which deep begins."""
    if result.deep_from == result.n_layers:
        return f"that is, only when all {result.n_layers} layers have run"
    return f"at a depth of {result.deep_from} of {result.n_layers} layers or more"


def band_sentence(result: Sensitivity) -> str:
    """Whether the difference in ratios keeps its sign over all conventions."""
    n = result.dtr_diff.value.numel()
    if result.dtr_diff.low.isnan().any() or not result.dtr_diff.value.any():
        return ""
    if result.sign:
        way = "more" if result.sign > 0 else "less"
        return f"Post settles deep {way} often under all {n} conventions tried."
    up, down = int((result.dtr_diff.low > 0).sum()), int((result.dtr_diff.high < 0).sum())
    least, most = (100 * end.item() for end in result.dtr_diff.value.aminmax())
    low, high = (number(end, sign=True, digits=1) for end in (least, most))
    reach = f"from {low} to {high} points"
    if up and down:
        return (
            f"Whether post settles deep more often depends on the convention: more often under "
            f"{up} of {n}, less often under {down} ({reach})."
        )
    way = f" ({'more' if up else 'less'} in post)" if up or down else ""
    return (
        "The difference in the share of tokens that settle deep, post minus base, depends on the "
        f"convention: it ranges {reach}, and its interval excludes 0{way} under "
        f"{up + down or 'none'} of {n} conventions."
    )


def group_sentence(result: DepthByGroup) -> str:
    """Change of depth from the first group to the last in both models."""
    changes = []
    for m, model in enumerate(result.model):
        value, low, high = result.step[m, -1].ends
        if low != low:
            return ""
        clear = "" if low > 0 or high < 0 else " (interval includes 0)"
        changes.append(f"{interval(value, low, high, digits=2)} layers in {visible(model)}{clear}")
    first, last = (visible(result.group[i]) for i in (0, -1))
    return f"From difficulty {first} to {last}, mean depth changes by {' and '.join(changes)}."


def convention_text(convention: DepthConvention, n_layers: int) -> str:
    """A convention in words."""
    c = convention
    norms = {
        "once": "The final norm is applied once to the residual stream at every depth",
        "none": "The final norm is not applied to any state, not even the last",
        "twice": "The final norm is applied once to every state, twice to the last",
    }
    reading = {
        "first_hit": "the first depth whose prediction comes",
        "last_exit": "the first depth from which on all predictions stay",
    }
    return (
        f"Depth counts the layers that have run: 0 is the embedding, {n_layers} the model’s "
        f"output. {norms[c.norm]}, then the model’s own unembedding. A prediction settles at "
        f"{reading[c.reading]} within g = {c.threshold:g} {c.unit} ({number(c.nats)} nats) of the "
        "model’s final one, in Jensen–Shannon divergence. Settling is deep from a depth of "
        f"⌈ρL⌉ = ⌈{c.rho:g} · {n_layers}⌉ = {c.deep_from(n_layers)} layers on. "
        f"A prediction {'can' if c.first_layer == 0 else 'cannot'} settle at the embedding."
    )


def sized(value: float, low: float, high: float, *, digits: int = 2) -> str:
    """Magnitude of a difference with its interval; the sentence gives the direction.

    >>> sized(-0.3, -0.4, -0.2)
    '0.30 [0.20, 0.40]'
    """
    if value < 0:
        value, low, high = -value, -high, -low
    return interval(value, low, high, digits=digits).removeprefix("+")


def percent(share: float) -> str:
    """A share in percent.

    >>> percent(0.0553), percent(0.0)
    ('5.5 %', '0 %')
    """
    return f"{number(100 * share, digits=1)} %"
