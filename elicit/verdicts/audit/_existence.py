"""Whether the base already has it, and what elicits it: steering and mechanisms together."""

import math
from dataclasses import dataclass

from elicit.results import Estimate, number
from elicit.verdicts.audit._answer import (
    Answered,
    Strength,
    beats,
    likely_seen,
    not_asked,
    sentence,
    spread,
)
from elicit.verdicts.audit._controls import (
    HALF,
    UNTOLD,
    any_push,
    most_untold,
    positive_control,
    post_of,
    strongest_control,
)
from elicit.verdicts.ladder import Ladder
from elicit.verdicts.origin_result import Origin


@dataclass(frozen=True, eq=False, kw_only=True)
class Gain:
    """What post gained on the problems, as another part of the audit measured it."""

    role: str
    """`skill`, `damage` or `none`."""
    gap: Estimate
    """Post minus base."""
    n: int
    """Number of problems."""
    level: float
    """Coverage of the interval."""


def existence_answer(
    gain: Gain | None, ladder: Ladder | None, origin: Origin | None, *, why: str = ""
) -> Answered:
    """The answer from the ladder of existence and the verdict on origin.

    Args:
        gain: What post gained; None where it was not measured.
        ladder: Whether the base's own direction elicits it; None where it was not asked.
        origin: Whether a mechanism does that is told little; None where it was not asked.
        why: What kept both from being asked.
    """
    if origin is not None and origin.verdict in ("no gap", "lost"):
        gain = Gain(
            role="damage" if origin.verdict == "lost" else "none",
            gap=origin.gap,
            n=origin.n_problems,
            level=origin.level,
        )
        origin = None
    if origin is None and gain is not None and gain.role != "skill":
        return _no_gain(gain)
    if origin is None and ladder is None:
        return not_asked(why or "whether base has it was not asked")
    if origin is None:
        assert ladder is not None
        return _by_ladder(ladder)
    return _by_origin(origin, ladder)


def _no_gain(gain: Gain) -> Answered:
    seen = likely_seen(gain.gap, gain.level, gain.n)
    lost = gain.role == "damage"
    told = (
        f"Post is right on fewer problems than base ({spread(gain.gap, sign=True)})"
        if lost
        else f"Post has no clear gain on the problems ({spread(gain.gap, sign=True)})"
    )
    return Answered(
        verdict="lost" if lost else "no gain",
        says=f"{told}, so there is no gained ability whose origin could be asked.",
        clause="post is right less often on the problems" if lost else "",
        strength="strong" if lost else "none",
        rests_on=f"{gain.n} problems; a gap of {number(seen, digits=2)} would likely have been "
        "seen.",
        effect_name="gap on problems, post minus base",
        effect=gain.gap,
        control=Estimate.missing(),
        unit="share right",
        detectable=seen,
        detectable_of="the gap on problems",
    )


def _by_origin(origin: Origin, ladder: Ladder | None) -> Answered:
    """Mechanisms say most; the ladder agrees or does not."""
    name, control = strongest_control(origin)
    effect, border = origin.best_share, HALF
    above = effect.low.item() > HALF and (not name or beats(effect, control))
    steered = None if ladder is None else ladder.verdict
    verdict = origin.verdict
    what = f"closes {spread(effect)} of the gap of {spread(origin.gap)}"
    if verdict == "elicited":
        says = [
            f"Yes. The base already has what post gained, and {_arm(origin.best)} elicits it: "
            f"it {what}{_others(origin)}."
        ]
        clause = f"base already has what post gained, and {_arm(origin.best)} elicits it"
        good = {"exists": True, None: None, "under-powered": None, "no gap": None}.get(
            steered, False
        )
        strength: Strength = "strong" if above and good else "moderate" if above else "weak"
        strength = "weak" if good is False and not above else strength
        strength = "moderate" if good is False and strength == "strong" else strength
    elif verdict in ("created", "not elicited"):
        name, control = positive_control(origin)
        most = most_untold(origin)
        says = [
            f"{'No' if verdict == 'created' else 'Not as far as was tried'}. No mechanism with "
            f"little supervision elicits it from base: the best closes {spread(most)} of the gap "
            f"of {spread(origin.gap)}"
            + (f", and the same mechanisms close {spread(control)} where the skill is known to be."
               if name else ".")
        ]  # fmt: skip
        if verdict == "created":
            says.append("Post-training created it.")
        clause = (
            "post-training created what post gained"
            if verdict == "created"
            else "nothing that was tried elicits from base what post gained"
        )
        effect, border = most, HALF
        above = most.high.item() < HALF and (not name or control.low.item() > most.high.item())
        strength = "weak" if steered == "exists" or not above else "strong"
        if steered in (None, "under-powered", "no gap") and strength == "strong":
            strength = "moderate"
        if verdict == "not elicited" and strength == "strong":
            strength = "moderate"
    else:
        says = [f"{_OPEN.get(verdict, 'Undecided')}. {sentence(origin.reason)}"]
        clause = _CLAUSES.get(verdict, "where its gain comes from is undecided")
        strength = "moderate" if verdict in ("partly", "another route") and above else "weak"
        if verdict == "undecided" and effect.low.item() > HALF:
            verdict, strength = _ROUTE_OPEN, "moderate" if above else "weak"
            says.insert(
                0,
                f"Base can do it: {_arm(origin.best)} {what}. Whether it goes post’s own way is "
                "undecided.",
            )
            says[1] = sentence(origin.reason)
            clause = f"{_arm(origin.best)} brings base to it, by post’s own way or another"
    if ladder is not None:
        says.append(_steering(ladder, agrees=verdict))
    if verdict == "elicited":
        says.append(any_push(origin))
    return Answered(
        verdict=_WORDS.get(verdict, verdict),
        says=" ".join(text for text in says if text),
        clause=clause,
        strength=strength,
        rests_on=_rests(origin, steered, above=above, control=name),
        effect_name=f"share of the gap closed by {_arm(origin.best) or 'the best of them'}",
        effect=effect,
        border=border,
        control_name=name,
        control=control,
        unit="share of the gap",
        detectable=math.nan,
    )


_ROUTE_OPEN = "already there, way undecided"
_WORDS = {
    "elicited": "already there, elicited",
    "created": "created",
    "not elicited": "not elicited",
    "partly": "partly there",
    "another route": "there by another route",
    "undecided": "undecided",
}
_OPEN = {
    "partly": "Partly",
    "another route": "Yes, but by another route",
    "undecided": "Undecided",
}
_CLAUSES = {
    "partly": "part of what post gained can be elicited from base",
    "another route": "base can do it too, but in another way than post",
}


def _by_ladder(ladder: Ladder) -> Answered:
    """The ladder alone."""
    at = ladder.rung.index("E4")
    said = {
        "exists": "Yes. Steered along its own direction, base does what post does, and that closes "
        f"{spread(ladder.value[at])} of the gap in right answers.",
        "not shown": "Not shown. Steering base along its own direction does not do it.",
        "under-powered": "Undecided. There are too few problems to say what steering base does.",
        "no gap": "Post has no clear gain in right answers, so there is nothing to ask for.",
    }[ladder.verdict]
    strength: Strength = "moderate" if ladder.verdict == "exists" else "weak"
    return Answered(
        verdict={"exists": "already there", "no gap": "no gain"}.get(
            ladder.verdict, ladder.verdict
        ),
        says=said,
        clause="base already has what post gained" if ladder.verdict == "exists" else "",
        strength=strength,
        rests_on="The ladder of existence alone: no mechanism was tried.",
        effect_name="share of the gap closed by steering (E4)",
        effect=ladder.value[at],
        border=HALF,
        control_name=ladder.control_name[at],
        control=ladder.control[at],
        unit="share of the gap",
        detectable=ladder.detectable[at].item(),
        detectable_of="the share of the gap",
    )


def _steering(ladder: Ladder, *, agrees: str) -> str:
    """What steering adds, in a sentence."""
    at = ladder.rung.index("E4")
    value, control = spread(ladder.value[at]), spread(ladder.control[at])
    if ladder.verdict == "exists":
        start = "But s" if agrees in ("created", "not elicited") else "S"
        return (
            f"{start}teering base along its own direction closes {value} of the gap "
            f"({ladder.control_name[at]}: {control})."
        )
    if ladder.verdict == "not shown":
        return "Steering base along its own direction does not elicit it."
    return "There are too few problems to say whether steering base elicits it."


def _rests(origin: Origin, steered: str | None, *, above: bool, control: str) -> str:
    """Which criteria hold."""
    parts = [f"{origin.n_problems} held-out problems"]
    if control:
        parts.append(
            f"the interval {'lies' if above else 'does not lie'} above one half and above the "
            "control"
        )
    elif above:
        parts.append("the interval lies above one half; no control was run")
    told = {
        "exists": "steering (E3, E4) elicits it as well",
        "not shown": "steering (E3, E4) does not elicit it",
        "under-powered": "steering (E3, E4) is under-powered",
        "no gap": "steering found no gap",
        None: "steering was not asked",
    }
    parts.append(told[steered])
    wrong = [
        name
        for name, passed in zip(origin.known_pair, origin.known_passed.tolist(), strict=True)
        if not passed
    ]
    if origin.known_pair:
        parts.append(
            f"on {', '.join(map(post_of, wrong))}, whose truth is known, the same mechanisms err"
            if wrong
            else "on pairs of known truth the same mechanisms are right"
        )
    return sentence("; ".join(parts))


def _others(origin: Origin) -> str:
    """Further mechanisms that close most of the gap and are told little."""
    more = [
        _arm(name)
        for i, name in enumerate(origin.arm)
        if name != origin.best
        and not bool(origin.control[i])
        and origin.sees[i] in UNTOLD
        and origin.share.low[i].item() > HALF
    ]
    if not more:
        return ""
    names = more[0] if len(more) == 1 else f"{', '.join(more[:-1])} and {more[-1]}"
    return f"; so {'do' if len(more) > 1 else 'does'} {names}"


def _arm(name: str) -> str:
    return _MEANS.get(name, name)


_MEANS = {
    "prompt": "a prompt alone",
    "prefix": "beginning the answer for it",
    "few-shot": "solved examples in the prompt",
    "cot-decoding": "another choice of the first token",
    "diff-mean": "steering along a difference of means",
    "power": "sampling from a sharpened distribution",
    "vote": "a vote among samples",
    "rlvr": "reinforcement learning on right answers",
    "bias": "a trained bias",
}
