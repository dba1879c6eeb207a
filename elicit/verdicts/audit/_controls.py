"""What an answer on origin is held against: controls that must fail, and one that must not."""

import math

import torch

from elicit.results import Estimate
from elicit.verdicts.audit._answer import beats, spread
from elicit.verdicts.origin_result import Origin

HALF = 0.5
"""Share of the gap from which on most of it is closed."""
UNTOLD = ("nothing", "answers")
"""What mechanisms are told that say most of base."""


def strongest_control(origin: Origin) -> tuple[str, Estimate]:
    """What closes most of what must not: the best arm's own control, and a pair without the skill.

    A control of another arm is none of this one: random directions may bring out what base has.
    """
    found = [
        (f"its own control, {origin.arm[i]}", origin.share[i])
        for i, is_one in enumerate(origin.control.tolist())
        if is_one and origin.arm[i] in ARM_CONTROLS.get(origin.best, ())
    ]
    found += [
        (
            f"the same mechanisms on {post_of(origin.known_pair[i])}, which lacks it",
            origin.known_share[i],
        )
        for i, truth in enumerate(origin.known_truth)
        if truth == "lacks the skill"
    ]
    known = [each for each in found if not bool(each[1].value.isnan())]
    return max(known, key=lambda each: each[1].value.item(), default=("", Estimate.missing()))


ARM_CONTROLS = {
    "diff-mean": ("diff-mean-random",),
    "feature": ("feature-controls",),
    "hybrid": ("hybrid-random",),
    "critique": ("critique-shuffled",),
    **dict.fromkeys(("rlvr", "one-example", "bias", "tiny"), ("random-reward", "format-reward")),
}
"""Control arms of an arm."""


def post_of(pair: str) -> str:
    """The post-trained model of a pair's name."""
    return pair.rpartition(" → ")[2]


def any_push(origin: Origin) -> str:
    """That random directions do as much as the direction of steering, where they do."""
    if not {"diff-mean", "diff-mean-random"} <= {*origin.arm}:
        return ""
    own, random = (
        origin.share[origin.arm.index(name)] for name in ("diff-mean", "diff-mean-random")
    )
    if own.low.item() > HALF and not beats(own, random) and random.low.item() > HALF:
        return (
            f"Random directions at their own best strength do it too ({spread(random)}), so "
            "steering shows the ability and not where it lies."
        )
    return ""


def positive_control(origin: Origin) -> tuple[str, Estimate]:
    """What the same arms close on the pair that is known to have the skill."""
    for i, truth in enumerate(origin.known_truth):
        if truth == "has the skill":
            name = f"the same mechanisms on {post_of(origin.known_pair[i])}, which has it"
            return name, origin.known_share[i]
    return "", Estimate.missing()


def most_untold(origin: Origin) -> Estimate:
    """Joint interval of the arm told little whose upper end is the highest."""
    told_little = torch.tensor([sees in UNTOLD for sees in origin.sees]) & ~origin.control
    own = told_little.nonzero()[:, 0].tolist()
    if not own:
        return origin.best_share
    return origin.joint[max(own, key=lambda i: origin.joint.high[i].nan_to_num(-math.inf).item())]
