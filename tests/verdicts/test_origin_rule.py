"""The rule of the verdict on origin: every verdict from made outcomes, and how often it errs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from elicit.verdicts import judge_origin
from tests.verdicts.made_origin import arm, ones, outcomes

NAN = math.nan


def verdict(arms, **options):
    return judge_origin(outcomes(arms, **options)).verdict


def test_each_verdict_is_given_by_its_rule():
    nothing = [arm(share=0.0), arm("rl", 0.05, sees="answers", bits=900.0)]
    assert verdict([arm(share=0.9)]) == "elicited"
    assert verdict([arm(share=0.9, shown=torch.zeros(60).double())]) == "another route"
    assert verdict([arm(share=0.45)]) == "partly"
    assert verdict([arm(share=0.75, n=8)], n=8) == "undecided"
    assert verdict(nothing) == "not elicited"
    assert verdict(nothing, carried=0.8) == verdict(nothing, learning=12.0) == "created"
    assert verdict(nothing, carried=0.3, learning=3.0) == "not elicited"
    same = ones(60, 0.3)
    assert verdict(nothing, base=same, post=same) == "no gap"
    assert verdict(nothing, base=ones(60, 1.0), post=ones(60, 0.0)) == "lost"
    assert verdict([arm(share=1.0)], identical=True) == "no gap"


def test_what_was_told_more_than_the_answers_elicits_nothing_but_may_refute():
    nothing = arm(share=0.0)
    for sees in ("teacher", "post texts"):
        told = judge_origin(outcomes([nothing, arm("told", 1.0, sees=sees, bits=1e5)]))
        assert told.verdict == "undecided" and "told" in told.reason
    # What reads post's weights closes the gap by being post.
    dial = arm("dial", 1.0, sees="post weights", bits=math.inf)
    assert verdict([nothing, dial]) == "not elicited"
    assert verdict([dial]) == "undecided"


def test_a_control_elicits_nothing_and_may_refute():
    control = arm("random reward", 1.0, control=True)
    assert verdict([arm(share=0.0), control]) == "undecided"


def test_nothing_is_called_absent_without_a_control_that_passed():
    nothing = [arm(share=0.0)]
    assert verdict(nothing, worked=None, carried=0.9) == "undecided"
    assert verdict(nothing, worked=("another arm",), carried=0.9) == "undecided"
    assert verdict(nothing, forced=ones(60, 0.9)) == "undecided"
    assert verdict(nothing, forced=ones(60, 0.0)) == "not elicited"


def test_arms_that_close_the_gap_where_the_skill_is_absent_elicit_nothing():
    assert verdict([arm(share=1.0)], absent_passed=False) == "undecided"


def test_a_small_gap_and_another_way_of_answering_are_not_elicited():
    """Post gained little by answering directly, and a prompt closes eight times the gap."""
    base, post = ones(200, 0.3), ones(200, 0.42)
    notes = arm(share=1.0, n=200)
    direct = {"post_shown": torch.zeros(200).double(), "base": base, "post": post, "n": 200}
    assert verdict([notes], **direct) == "undecided"
    assert verdict([notes], **(direct | {"post": ones(200, 0.7)})) == "another route"


def test_steps_that_hold_are_a_route_too_where_posts_do():
    shown = torch.zeros(60).double()
    held = {"verified": ones(60, 1.0), "shown": shown}
    assert verdict([arm(share=1.0, **held)], post_verified=ones(60, 1.0)) == "elicited"
    never = {"verified": shown, "shown": shown}
    assert verdict([arm(share=1.0, **never)], post_verified=shown) == "another route"


def test_the_arm_told_least_is_chosen_among_those_that_are_as_good_elsewhere():
    told = arm("rl", 1.0, sees="answers", bits=900.0)
    near = arm("long prompt", 1.0, chosen=0.99, bits=80.0)
    short = arm("prompt", 1.0, chosen=0.99, bits=8.0)
    worse = arm("word", 1.0, chosen=0.9, bits=1.0)
    found = judge_origin(outcomes([told, near, short, worse]))
    assert found.best == 2 and found.bits == 8.0


def test_the_bits_of_an_absence_are_the_most_told_to_an_arm_that_works_elsewhere():
    arms = [arm(share=0.0), arm("rl", 0.0, sees="answers", bits=900.0),
            arm("bias", 0.0, sees="answers", bits=2000.0)]  # fmt: skip
    found = judge_origin(outcomes(arms, worked=("prompt", "rl")))
    assert found.verdict == "not elicited" and found.bits == 900.0


def test_the_number_of_problems_that_would_decide_does():
    few = ones(16, 0.75)
    read = outcomes([arm(n=16, right=few)], n=16)
    found = judge_origin(read)
    assert found.verdict == "undecided" and 16 < found.needed < 400
    n = int(found.needed * 1.3)
    more = outcomes([arm(n=n, right=few.repeat(n // 16 + 1)[:n])], n=n)
    assert judge_origin(more).verdict == "elicited"


def test_no_number_of_problems_is_named_where_problems_are_not_what_is_missing():
    assert math.isnan(judge_origin(outcomes([arm(share=0.0)], worked=None)).needed)


def test_few_problems_that_all_agree_decide_nothing():
    """Four of four right: with a share of one half that happens once in sixteen."""
    assert verdict([arm(share=1.0, n=4)], n=4) != "elicited"
    assert verdict([arm(share=0.0, n=4)], n=4) != "not elicited"


def drawn(rng, shares, n, base=0.25, post=1.0):
    def rolls(chance):
        return torch.from_numpy((rng.random(n) < chance).astype(float))

    each = [base + share * (post - base) for share in shares]
    arms = [
        arm(f"arm {i}", n=n, right=rolls(p), chosen=float(rolls(p).mean()), bits=float(i))
        for i, p in enumerate(each)
    ]
    return outcomes(arms, n=n, base=rolls(base), post=rolls(post))


def rate(wanted, shares, n, *, draws=100, **options):
    rng = np.random.default_rng(0)
    found = [judge_origin(drawn(rng, shares, n, **options)).verdict for _ in range(draws)]
    return found.count(wanted) / draws


@pytest.mark.parametrize("n", [20, 60])
def test_arms_at_the_border_are_seldom_called_elicited_or_absent(n):
    """Nominal 2.5 %; scripts/bench/origin.py draws more: three standard errors are granted."""
    assert rate("elicited", [0.5] * 6, n) < 0.075
    assert rate("not elicited", [0.5] + [0.0] * 5, n) < 0.075


def test_what_is_there_is_found_and_what_is_not_is_not():
    assert rate("elicited", [0.8] + [0.0] * 5, 60) > 0.8
    assert rate("not elicited", [0.0] * 6, 60) > 0.95
    assert rate("elicited", [0.0] * 6, 60) == 0.0


def test_a_pair_without_a_gap_is_seldom_given_one():
    assert rate("no gap", [0.0] * 2, 60, base=0.3, post=0.3) > 0.88
    assert rate("elicited", [40.0] * 2, 60, base=0.3, post=0.3) == 0.0


def test_controls_and_arms_keep_their_places():
    arms = [arm(share=0.1), arm("b", 0.4, control=True), arm("dial", 1.0, sees="post weights")]
    found = judge_origin(outcomes(arms, forced=ones(60, 0.2)))
    assert torch.allclose(found.share.value, torch.tensor([0.1, 0.4, 1.0]).double())
    assert found.forced.value.item() == pytest.approx(0.2)
    assert bool((found.joint.high >= found.share.high).all())
    moved = judge_origin(replace(outcomes(arms[::-1]), worked=None))
    assert torch.equal(moved.share.value, found.share.value.flip(0))
