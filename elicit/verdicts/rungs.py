"""The five rungs: which numbers make each, and what must hold of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from elicit.stats import Interval, NoGapError, gap_share
from elicit.tasks import POSITIVE
from elicit.verdicts.tests import (
    FREED,
    Evidence,
    Options,
    Pushes,
    above,
    freed_arm,
    high_draw,
    kept,
    nearly,
    rate,
    refused,
    strongest,
)
from elicit.verdicts.transferring import Transferred

Column = Float[np.ndarray, " problem"]
RUNGS = ("E0", "E1", "E2", "E3", "E4")
CLAIMS = (
    "decodable in base",
    "same code in both",
    "base’s direction is causal in post",
    "base’s direction is causal in base",
    "sufficient for the task",
)
RANDOM = "random directions"
ANEW = "base with re-initialised weights"


def decodable(
    right: Column,
    controls: Mapping[str, Column],
    options: Options,
    *,
    anew: Column | None = None,
    auroc: Interval | None = None,
) -> Evidence:
    """E0: a probe of the base separates the prompts better than anything without the model.

    `anew`: the same of the base with re-initialised weights: tokens that mix by chance carry a
    prompt's words as well, and what is in words can be decoded. If it is above the control too, by
    the same test, the rung is trivial. `auroc`: area under the probe's ROC curve, reported beside.
    """
    name, control = strongest(controls)
    arms = {one: rate(values, options) for one, values in controls.items()}
    reason, trivial = "", False
    if anew is not None:
        arms[ANEW] = rate(anew, options)
        trivial = above("", anew, control, options).p < 1 - options.inference.level
        if trivial:
            reason = (
                "a probe of the base with re-initialised weights classifies "
                f"{100 * anew.mean():.3g} % of the prompts correctly and passes this rung too, so "
                "that they can be separated is no evidence of anything that the base has learned"
            )
    return Evidence(
        value=rate(right, options),
        control=rate(control, options),
        control_name=name,
        claims=(above(f"that its accuracy exceeds that of {name}", right, control, options),),
        arms=arms if auroc is None else {**arms, "AUROC of the probe": auroc},
        reason=reason,
        trivial=trivial,
    )


def same_code(found: Transferred, options: Options, *, margin: float) -> Evidence:
    """E1: each model's direction separates the prompts in the other, at no loss of accuracy.

    Separation is what counts: where prompts lie far apart almost any direction classifies them.
    Accuracy is read after the difference of the means is taken off: where the zero lies is no part
    of the code. Both ways must hold; the number reported is that of the worse one. What is left
    after the best rotation of all tokens is reported beside: a code that only a rotation makes the
    same is not the same code, but a change of basis.

    `margin`: loss of accuracy that still counts as the same code.
    """
    ways = ("base’s probe on post", "post’s probe on base")
    claims, controls, arms = [], [], {}
    for way, name in enumerate(ways):
        shifted, own = found.shifted[way], found.own[way]
        controls.append(high_draw(found.draws[way], options.inference))
        separated = f"that {name} separates the prompts better than {RANDOM}"
        claims += [
            above(separated, found.separation[way], controls[way], options),
            kept(
                f"that {name} loses less than {margin:g} of its accuracy",
                shifted,
                own,
                options,
                margin=margin,
            ),
        ]
        arms[f"accuracy of {name}, means aligned"] = rate(shifted, options)
        arms[f"accuracy of {name}, as it is"] = rate(found.raw[way], options)
        if found.turned is not None and found.turned_separation is not None:
            arms[f"accuracy of {name}, rotated into place"] = rate(found.turned[way], options)
        arms[f"accuracy of {('post', 'base')[way]}’s own probe"] = rate(own, options)
        arms[f"separation by {name}, as it is"] = rate(found.separation[way], options)
        if found.turned_separation is not None:
            apart = rate(found.turned_separation[way], options)
            arms[f"separation by {name}, rotated into place"] = apart
    worse = int(found.separation.mean(axis=1).argmin())
    return Evidence(
        value=rate(found.separation[worse], options),
        control=rate(controls[worse], options),
        control_name=RANDOM,
        claims=tuple(claims),
        arms=arms,
    )


def causal_in_post(
    turned: Column,
    controls: Mapping[str, Column],
    draws: Pushes,
    options: Options,
    *,
    what: str,
) -> Evidence:
    """E2: the base's direction moves the behaviour of post, and others as long do not.

    `turned`: whether each problem's text is coherent and as the direction is to make it. `draws`:
    the same under the controls; what they do at strengths of their own is reported beside.
    """
    every = {**controls, RANDOM: high_draw(draws.same, options.inference)}
    name, control = strongest(every)
    return Evidence(
        value=rate(turned, options),
        control=rate(control, options),
        control_name=name,
        claims=(above(f"that more texts {what} than under {name}", turned, control, options),),
        arms={
            **{one: rate(values, options) for one, values in every.items()},
            **freed_arm(draws.freed, options),
        },
        reason=f"the number is the share of texts that are coherent and {what}"
        f"{nearly(turned, draws.freed, options)}",
    )


def causal_in_base(
    shown: Column,
    controls: Mapping[str, Column],
    draws: Pushes,
    options: Options,
    *,
    coherent: Column,
    coherent_plain: Column,
    asked: Column,
    margin: float,
) -> Evidence:
    """E3: under its own direction the base shows the behaviour, and stays coherent.

    `shown`: whether each problem's text is coherent and shows it. `draws`: the same under the
    controls; what they do at strengths of their own is reported beside. `coherent`: whether each
    text is coherent. `coherent_plain`: the same of the unsteered base. `asked`: whether it is shown
    under the prompt that elicits it; reported beside, for what a prompt elicits exists all the
    same.
    `margin`: loss of coherence that still counts as none.
    """
    every = {**controls, RANDOM: high_draw(draws.same, options.inference)}
    name, control = strongest(every)
    arms = {one: rate(values, options) for one, values in every.items()}
    return Evidence(
        value=rate(shown, options),
        control=rate(control, options),
        control_name=name,
        claims=(
            above(
                f"that the behaviour is more frequent than under {name}", shown, control, options
            ),
            kept(
                f"that less than {margin:g} of the texts become incoherent",
                coherent,
                coherent_plain,
                options,
                margin=margin,
            ),
        ),
        arms={
            **arms,
            **freed_arm(draws.freed, options),
            POSITIVE: rate(asked, options),
            "coherent": rate(coherent, options),
            "coherent, base unsteered": rate(coherent_plain, options),
        },
        reason=nearly(shown, draws.freed, options).removeprefix("; "),
    )


def sufficient(
    score: Column,
    baselines: Mapping[str, Column],
    post: Column,
    controls: Mapping[str, Column],
    draws: Pushes,
    options: Options,
    *,
    asked: Column,
    least_share: float,
) -> Evidence:
    """E4: the direction alone closes the gap between the base at its best and post.

    The gap begins at the base under the best of all prompts, the one that elicits the behaviour
    (`asked`) included. Where that prompt alone leaves no gap to post, it begins at the best of the
    others (`baselines`), and the remark says so; the share from there is reported beside in any
    case. What controls (`draws`) do at strengths of their own is reported beside.
    `least_share`: share of the gap that must be exceeded.
    """
    gap = {
        "level": options.inference.level,
        "n_resamples": options.inference.n_resamples,
        "seed": options.inference.seed,
        "span": 1.0,
    }
    usual, plain = strongest(baselines)
    start, base = strongest({**baselines, POSITIVE: asked})
    reason, none = f"the gap begins at base under {start}", _no_gap(start, base, post, gap)
    if none and start == POSITIVE:
        reason = (
            f"asked by the {POSITIVE}, base scores {base.mean():.3f} and post {post.mean():.3f}, "
            f"so that this prompt alone leaves no clear gap; the gap begins at base under {usual}"
        )
        start, base = usual, plain
        none = _no_gap(start, base, post, gap)
    if none:
        return refused(none)
    value = gap_share(score, base, post, **gap)
    every = {**controls, RANDOM: high_draw(draws.same, options.inference)}
    name, control = strongest(every)
    shares = {one: gap_share(values, base, post, **gap) for one, values in every.items()}
    gained = above(f"that the score exceeds that of {name}", score, control, options)
    enough = above(
        f"that it closes more than {least_share:g} of the gap",
        score - base,
        least_share * (post - base),
        options,
    )
    return Evidence(
        value=value,
        control=shares[name],
        control_name=name,
        claims=(gained, enough),
        arms={
            **{f"share, {one}": share for one, share in shares.items()},
            **(
                {}
                if draws.freed is None
                else {
                    f"share, {FREED}": gap_share(
                        high_draw(draws.freed, options.inference), base, post, **gap
                    )
                }
            ),
            f"share, {POSITIVE}": gap_share(asked, base, post, **gap),
            **(
                {}
                if start == usual or _no_gap(usual, plain, post, gap)
                else {f"share, gap from {usual}": gap_share(score, plain, post, **gap)}
            ),
            **{f"score, {one}": rate(values, options) for one, values in baselines.items()},
            f"score, {POSITIVE}": rate(asked, options),
            "score, post": rate(post, options),
            "score, under the direction": rate(score, options),
        },
        reason=f"{reason}{nearly(score, draws.freed, options)}",
    )


def _no_gap(start: str, base: Column, post: Column, gap: Mapping[str, Any]) -> str:
    """Why there is no gap from the base to post that something could close; empty where one is."""
    try:
        gap_share(post, base, post, **gap)
    except NoGapError:
        return (
            f"refused: base under {start} scores {base.mean():.3f} and post {post.mean():.3f}, and "
            "the interval of that gap includes 0, so there is no share of it to recover"
        )
    if post.mean() < base.mean():
        return (
            f"refused: post scores {post.mean():.3f}, below base under {start} with "
            f"{base.mean():.3f}, so post gained nothing that the base could be sufficient for"
        )
    return ""
