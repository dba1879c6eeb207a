"""The three answers of an audit follow from results, and say how surely."""

import math
from dataclasses import replace

import pytest
import torch

from elicit.results import Estimate
from elicit.verdicts import Findings, Ladder, Origin, conclude
from elicit.verdicts.audit import Gain, existence_answer, layers_answer, trace_answer
from elicit.verdicts.audit._answer import likely_seen, listed
from elicit.verdicts.rungs import CLAIMS, RUNGS
from tests.page import made, made_mechanisms, made_traces

UNTOLD = ("prompt", "prefix", "cot-decoding")


def single(value: float, low: float, high: float) -> Estimate:
    return Estimate.of(torch.tensor([value, low, high], dtype=torch.float64))


def ladder(status: str, share: float = 0.95, control: float = 0.0) -> Ladder:
    """A ladder whose rungs all came out alike."""
    n = len(RUNGS)
    value = Estimate.of(torch.tensor([[share], [share - 0.1], [share + 0.1]]).expand(3, n).double())
    beside = Estimate.of(torch.tensor([[control]]).expand(3, n).double())
    nan = torch.full((n, 1), math.nan, dtype=torch.float64)
    return Ladder(
        provenance=made.provenance(),
        behaviour="writes a trace",
        rung=RUNGS,
        claim=CLAIMS,
        status=(status,) * n,
        reason=("",) * n,
        unit=("share",) * n,
        value=value,
        control_name=("random directions",) * n,
        control=beside,
        effect=value,
        p=torch.full((n,), 0.01, dtype=torch.float64),
        detectable=torch.full((n,), 0.2, dtype=torch.float64),
        place=("resid_post.3",) * n,
        arm=(),
        arm_value=Estimate.missing(0),
        model=("base",),
        site=("resid_post.3",),
        strength=torch.tensor([1.0]),
        sweep=torch.ones(1, 1, 1),
        p_site=nan,
        curve=("base",),
        auroc=Estimate.missing(1, 1),
        n_choose=40,
        n_test=40,
        level=0.95,
    )


def origin(*names: str, **options) -> Origin:
    """The verdict on some of the made mechanisms."""
    kept = [one for one in made_mechanisms.mechanisms() if one.name in names]
    return made_mechanisms.verdict(kept, **options)


def known(found: Origin, has: float, lacks: float) -> Origin:
    """The same beside pairs of known truth."""
    values = torch.tensor([[has, lacks], [has - 0.05, lacks - 0.05], [has + 0.05, lacks + 0.05]])
    return replace(
        found,
        known_pair=("organism:base → organism:rl", "organism:x → organism:created"),
        known_truth=("has the skill", "lacks the skill"),
        known_verdict=("elicited", "created"),
        known_passed=torch.tensor([True, True]),
        known_share=Estimate.of(values.double()),
    )


def test_two_ways_that_agree_above_their_controls_are_strong_evidence():
    found = known(origin(*UNTOLD), 1.0, 0.0)
    both = existence_answer(None, ladder("passed"), found)
    assert (both.verdict, both.strength) == ("already there, elicited", "strong")
    assert both.says.startswith("Yes.") and "organism:created" in both.control_name
    alone = existence_answer(None, None, found)
    against = existence_answer(None, ladder("not distinguishable"), found)
    assert alone.strength == against.strength == "moderate"
    # The same means doing as much where the skill is lacking says that they teach it.
    faked = existence_answer(None, ladder("passed"), known(origin(*UNTOLD), 1.0, 0.95))
    assert faked.strength == "weak"


def test_random_directions_that_do_as_much_are_said_beside_steering():
    names = ("diff-mean", "diff-mean, random directions")
    found = origin("prompt", *names)
    renamed = tuple("diff-mean-random" if n == names[1] else n for n in found.arm)
    own = found.share[[0, 1, 1]]  # the random ones do as much
    said = existence_answer(None, ladder("passed"), replace(found, arm=renamed, share=own)).says
    assert "Random directions at their own best strength do it too" in said
    assert "Random directions" not in existence_answer(None, None, origin("prompt")).says


def test_what_nothing_elicits_where_the_same_means_work_elsewhere_is_created():
    found = replace(known(origin("few-shot", "power"), 0.98, 0.0), verdict="created")
    answer = existence_answer(None, ladder("not distinguishable", 0.0), found)
    assert (answer.verdict, answer.strength) == ("created", "strong")
    assert answer.says.startswith("No.") and "created it" in answer.says
    assert answer.control.value == pytest.approx(0.98)
    assert existence_answer(None, ladder("passed"), found).strength == "weak"


@pytest.mark.parametrize(("role", "verdict"), [("none", "no gain"), ("damage", "lost")])
def test_without_a_gain_there_is_nothing_to_ask_for(role: str, verdict: str):
    gain = Gain(role=role, gap=single(-0.1, -0.2, 0.0), n=60, level=0.95)
    answer = existence_answer(gain, None, None)
    assert answer.verdict == verdict and "no gained ability" in answer.says
    assert answer.detectable == pytest.approx(0.1 * (1.96 + 0.8416) / 1.96, rel=1e-3)


def test_layers_are_named_with_both_directions_and_held_against_shuffled_differences():
    answer = layers_answer(made.roles())
    assert "corrupted" in answer.verdict and "the gain" in answer.verdict
    assert answer.strength == "strong" and answer.effect.low > answer.control.high
    bare = layers_answer(made.roles(controls=False))
    assert bare.strength == "weak" and "control was not run" in bare.rests_on


def test_weights_that_change_nothing_are_told_with_what_would_have_been_seen():
    answer = layers_answer(made.roles(plant=False))
    assert answer.strength == "none" and not answer.clause
    assert "Nothing was clearly lost or gained on" in answer.says
    assert 0.05 < answer.detectable < 0.1
    same = layers_answer(made.roles(identical=True))
    assert (same.verdict, same.strength) == ("unchanged", "none")


def test_reasoning_that_is_partly_for_show_is_told_apart_from_reasoning_that_decides():
    card = made_traces.scorecard(made_traces.dependence(), made_traces.information())
    answer = trace_answer(card, made_traces.dependence())
    assert not answer.verdict.startswith("intact") and answer.says.startswith(
        ("Not everywhere", "No.")
    )
    assert answer.control_name.startswith("right answers with")
    intact = replace(card, verdict="intact")
    assert trace_answer(intact, None).says.startswith("Yes.")
    assert trace_answer(intact, None).control_name == ""


def test_the_first_sentence_of_a_null_pair_says_what_would_have_been_seen(paired):
    pair = paired("llama")
    found = conclude(
        pair,
        Findings(roles=made.roles(plant=False), why={"trace": "trace: it failed"}),
        runs=[],
        numbers=[],
    )
    assert not found.found
    assert found.headline.startswith("Nothing was found, where a gap of 0.07 on facts")
    assert "would likely have been seen" in found.headline
    assert "it failed" in found.says[2].lower()
    planted = conclude(pair, Findings(roles=made.roles()), runs=[], numbers=[])
    assert planted.found and "corrupted" in planted.headline


def test_effects_likely_seen_grow_with_the_interval_and_never_vanish():
    assert likely_seen(single(0, -0.1, 0.1), 0.95, 50) > likely_seen(
        single(0, -0.05, 0.05), 0.95, 50
    )
    assert likely_seen(single(0, 0, 0), 0.95, 60) == pytest.approx(1 - 0.05 ** (1 / 60))


@pytest.mark.parametrize(
    ("layers", "said"),
    [((3,), "layer 3"), ((1, 4), "layers 1 and 4"), ((0, 1, 2, 3), "layers 0 to 3"),
     ((0, 2, 5), "layers 0, 2 and 5")],
)  # fmt: skip
def test_layers_are_listed_as_a_person_would(layers, said):
    assert listed(layers) == said


@pytest.mark.parametrize(
    ("effect", "said"),
    [("graft", "layer 2 alone gives base the gain"), ("revert", "the gain needs layer 2")],
)
def test_one_direction_alone_is_told_as_enough_or_as_needed(effect: str, said: str):
    roles = made.roles()
    nothing = torch.zeros_like(roles.corrupted)
    at = roles.part.index("L2")
    moved = {
        name: Estimate.of(torch.zeros(3, *roles.revert.shape, dtype=torch.float64))
        for name in ("revert", "graft", "control_revert", "control_graft")
    }
    size = 0.4 if effect == "graft" else -0.4
    for end in (moved[effect].value, moved[effect].low, moved[effect].high):
        end[1, at] = size
    alone = replace(
        roles, role=("none", "skill"), corrupted=nothing, carries_skill=nothing, **moved
    )
    answer = layers_answer(alone)
    assert said in answer.clause and answer.strength == "moderate"
    assert answer.verdict.endswith("is enough" if effect == "graft" else "is needed")
    assert ("not needed" in answer.says) == (effect == "graft")
    assert ("not enough" in answer.says) == (effect == "revert")
