"""Origin of post's ability: elicited from base, created by post-training, or neither shown.

That one mechanism fails shows nothing, and that five agree shows little: every one of them has a
setting that closes the gap and one that does nothing, on a pair that has the skill. So the verdict
rests on what the arm that was told least reaches, beside the same arms on pairs whose truth is
known. There is no combined score.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.elicitation import Mechanism, Tried
from elicit.pair import ModelPair
from elicit.results import Estimate
from elicit.stats import Inference, problem_mean
from elicit.verdicts._origin_outcomes import (
    HALF,
    LEARNING,
    LEAST_GAP,
    ROUTE,
    ArmOutcomes,
    Outcomes,
)
from elicit.verdicts._origin_rule import OriginJudged, judge_origin
from elicit.verdicts.errors import VerdictError
from elicit.verdicts.origin_result import Evidence, Origin

_TEXT_PARTS = ("whole text", "first tokens", "after them")
_HAS, _LACKS = "has the skill", "lacks the skill"


def origin(
    pair: ModelPair,
    mechanisms: Sequence[Mechanism],
    *,
    base: Tried,
    post: Tried,
    evidence: Evidence = Evidence(),
    inference: Inference = Inference(),
) -> Origin:
    """Elicited or created, by a rule that was fixed before any number was read.

    1. Where the interval of the gap includes 0 there is nothing to explain: no gap, or lost.
    2. Elicited: the arm told at most the answers that is best on the choosing problems closes more
       than half of the gap on the test problems (lower end), the gap is at least 0.1, and its texts
       show the behaviour, or hold step by step, as often as post's within 0.3; else another route.
    3. Not elicited within b bits: the upper ends of all arms that do not read post's weights, and
       of the forced form, lie below half, and some arm closes the gap on a pair known to have the
       skill; b is the most that such an arm was told. All ends must, so their number needs no
       correction.
    4. Created: 3, and post's difference carries the skill to another host, or correct texts take
       ten times the bits to learn.
    5. Partly: the best arm's interval lies within 0.1 and 0.9; else undecided.

    Args:
        pair: The two models.
        mechanisms: All arms on the same problems, controls included.
        base: What base reaches on the test problems.
        post: What post does.
        evidence: What stands beside the arms.
        inference: Coverage of the intervals.

    Raises:
        VerdictError: There is no arm, or they are about other problems.
    """
    _check(mechanisms, base, post, evidence)
    known = {_HAS: evidence.has_skill, _LACKS: evidence.lacks_skill}
    beside = {truth: one for truth, one in known.items() if one is not None}
    ratio = math.nan
    if evidence.has_skill is not None and evidence.has_skill.learning_bits:
        ratio = evidence.learning_bits / evidence.has_skill.learning_bits
    read = Outcomes(
        base=base.right,
        post=post.right,
        post_shown=post.shown,
        post_verified=post.verified,
        arms=tuple(map(_outcomes, mechanisms)),
        forced=None if evidence.forced is None else evidence.forced.right,
        identical=pair.identical,
        carried=math.nan if evidence.transplant is None else evidence.transplant.share.low.item(),
        learning=ratio,
        worked=None if evidence.has_skill is None else _worked(evidence.has_skill),
        absent_passed=evidence.lacks_skill is None or _passed(_LACKS, evidence.lacks_skill),
    )
    judged = judge_origin(read, inference=inference)
    moved, bits = evidence.transplant, evidence.text_bits
    return Origin(
        provenance=pair.provenance(
            inference.seed,
            {"question": "origin", "level": inference.level, "half": HALF, "least_gap": LEAST_GAP,
             "route": ROUTE, "learning": LEARNING, "arms": [one.name for one in mechanisms]},
        ),
        **_arms(mechanisms, judged, inference),
        verdict=judged.verdict,
        reason=judged.reason,
        needed=judged.needed,
        bits=judged.bits,
        gap=judged.gap,
        best=mechanisms[judged.best].name if judged.best >= 0 else "",
        best_share=judged.share[judged.best] if judged.best >= 0 else Estimate.missing(),
        route_shown=judged.route_shown,
        route_verified=judged.route_verified,
        forced_share=judged.forced,
        carried=Estimate.missing() if moved is None else moved.share,
        carried_on="" if moved is None else f"{moved.host}, {moved.what}",
        text_part=_TEXT_PARTS if bits is None else bits.part,
        text_bits=Estimate.missing(len(_TEXT_PARTS)) if bits is None else bits.expected,
        learning_bits=evidence.learning_bits,
        learning_ratio=ratio,
        known_pair=tuple(one.pair for one in beside.values()),
        known_truth=tuple(beside),
        known_verdict=tuple(one.verdict for one in beside.values()),
        known_passed=torch.tensor([_passed(*one) for one in beside.items()], dtype=torch.bool),
        known_share=Estimate.stack([one.best_share for one in beside.values()])
        if beside
        else Estimate.missing(0),
        pair=f"{pair.base_name} → {pair.post_name}",
        n_problems=len(base.right),
        n_choose=len(mechanisms[0].chosen),
        level=inference.level,
    )  # fmt: skip


def _arms(
    mechanisms: Sequence[Mechanism], judged: OriginJudged, inference: Inference
) -> dict[str, Any]:
    """Fields on the axis of arms."""

    def numbers(of: str) -> Float[Tensor, " arm"]:
        return torch.tensor([float(getattr(one, of)) for one in mechanisms], dtype=torch.float64)

    seeds = [one.share_by_seed.value for one in mechanisms]
    return {
        "arm": tuple(one.name for one in mechanisms),
        "sees": tuple(one.sees for one in mechanisms),
        "setting": tuple(one.setting for one in mechanisms),
        "control": torch.tensor([one.control for one in mechanisms]),
        "bits_told": numbers("bits"),
        "n_trained": numbers("n_trained").long(),
        "n_tokens": numbers("n_tokens").long(),
        "flops": numbers("flops"),
        "chosen": torch.stack([one.chosen.double().mean() for one in mechanisms]),
        "accuracy": Estimate.of_intervals(
            problem_mean(one.right.double().mean(1), inference=inference, proportion=True)
            for one in mechanisms
        ),
        "share": judged.share,
        "joint": judged.joint,
        "share_sampled": Estimate.stack([one.share_sampled for one in mechanisms]),
        "lowest_seed": torch.stack([one.double().min() for one in seeds]),
        "highest_seed": torch.stack([one.double().max() for one in seeds]),
    }


def _outcomes(one: Mechanism) -> ArmOutcomes:
    return ArmOutcomes(
        name=one.name,
        sees=one.sees,
        control=one.control,
        bits=one.bits,
        chosen=float(one.chosen.double().mean()),
        n_choose=len(one.chosen),
        right=one.right.double().mean(1),
        shown=one.shown,
        verified=one.verified,
    )


def _worked(known: Origin) -> tuple[str, ...]:
    """Arms that close most of the gap on a pair known to have the skill."""
    return tuple(name for i, name in enumerate(known.arm) if known.share.low[i].item() > HALF)


def _passed(truth: str, known: Origin) -> bool:
    """Whether a pair of known truth came out as it is.

    One that lacks the skill fails where an arm that was told at most the answers closes most of its
    gap; whether `created` or only `not elicited` is said of it depends on what stands beside it.
    """
    if truth == _HAS:
        return known.verdict == "elicited"
    least_told = {
        name
        for name, sees, control in zip(known.arm, known.sees, known.control, strict=True)
        if sees in ("nothing", "answers") and not bool(control)
    }
    return not least_told & set(_worked(known))


def _check(mechanisms: Sequence[Mechanism], base: Tried, post: Tried, evidence: Evidence) -> None:
    if not mechanisms:
        raise VerdictError(
            "no arm was tried, so nothing could be elicited and nothing ruled out. Pass at least "
            "one mechanism that sees nothing or the answers."
        )
    names = [one.name for one in mechanisms]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise VerdictError(
            f"two arms are called {twice!r}, so they could not be told apart. Give each a name of "
            "its own."
        )
    problems = mechanisms[0].problem
    others = [one.name for one in mechanisms if one.problem != problems]
    if evidence.forced is not None and evidence.forced.problem != problems:
        others.append("the forced form")
    if others or {len(base.right), len(post.right)} != {len(problems)}:
        raise VerdictError(
            f"{mechanisms[0].name} is about {len(problems)} problems, base about "
            f"{len(base.right)} and post about {len(post.right)}"
            f"{f', and {others[0]} about others' if others else ''}, so shares would be of "
            "different gaps. Try all of them on one bench."
        )
    if len(problems) < 2:
        raise VerdictError(
            f"there is {len(problems)} test problem, and no interval can be made of fewer than 2. "
            "Pass 60 or more for a useful verdict."
        )
