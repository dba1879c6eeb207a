"""The rules that decide a rung, on numbers alone: what is true passes, what is not seldom does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from elicit.page.verdicts import ladder_sentence
from elicit.results import Estimate, Provenance
from elicit.stats import Inference, max_t
from elicit.verdicts import rungs
from elicit.verdicts.ladder import Tried, ladder_of
from elicit.verdicts.probing import Decoded
from elicit.verdicts.tests import (
    FREED,
    Evidence,
    Judged,
    Options,
    Pushes,
    best_part,
    fewest_draws,
    high_draw,
    judge,
    refused,
    strongest,
)
from elicit.verdicts.transferring import Transferred

N, DRAWS, SEEDS = 40, 20, 200
OPTIONS = Options(inference=Inference(n_resamples=100), least_effect=0.2)


def coin(rng, rate, *shape):
    return (rng.random(shape) < rate).astype(float)


def decoded(rng, *, true=False):
    return rungs.decodable(
        coin(rng, 0.9 if true else 0.5, N),
        {"shuffled labels": coin(rng, 0.5, N), "the majority": coin(rng, 0.5, N)},
        OPTIONS,
    )


def shared(rng, *, true=False):
    own = coin(rng, 0.97, 2, N)
    apart = rng.normal(0.9 if true else 0.0, 0.5, (2, N))
    found = Transferred(
        own=own,
        raw=coin(rng, 0.5, 2, N),
        shifted=own,
        separation=apart,
        draws=rng.normal(rng.normal(0, 0.2, (2, 200, 1)), 0.5, (2, 200, N)),
    )
    return rungs.same_code(found, OPTIONS, margin=0.1)


def moved(rng, *, true=False):
    return rungs.causal_in_post(
        coin(rng, 0.9 if true else 0.1, N),
        {"post left alone": coin(rng, 0.1, N), "shuffled": coin(rng, 0.1, N)},
        Pushes(same=coin(rng, 0.1, DRAWS, N)),
        OPTIONS,
        what="show it",
    )


def shown(rng, *, true=False, coherent=1.0):
    return rungs.causal_in_base(
        coin(rng, 0.9 if true else 0.1, N),
        {"plain prompt": coin(rng, 0.1, N), "shuffled": coin(rng, 0.1, N)},
        Pushes(same=coin(rng, 0.1, DRAWS, N)),
        OPTIONS,
        coherent=coin(rng, coherent, N),
        coherent_plain=np.ones(N),
        asked=np.ones(N),
        margin=0.1,
    )


def enough(rng, *, share=0.0, least_share=0.5, controls=0.3):
    base, post = coin(rng, 0.3, N), coin(rng, 0.95, N)
    taken = coin(rng, share, N).astype(bool)
    return rungs.sufficient(
        np.where(taken, post, base),
        {"plain prompt": base, "negative prompt": coin(rng, 0.25, N)},
        post,
        {"shuffled": coin(rng, controls, N)},
        Pushes(same=coin(rng, controls, DRAWS, N)),
        OPTIONS,
        asked=post,
        least_share=least_share,
    )


RULES = {"E0": decoded, "E1": shared, "E2": moved, "E3": shown, "E4": enough}


def passes(evidence):
    return judge([evidence], OPTIONS)[0].status == "passed"


@pytest.mark.slow
def test_false_claims_pass_in_at_most_five_of_a_hundred_ladders_each_alone_and_all_together():
    n = dict.fromkeys((*RULES, "any of the five"), 0)
    for seed in range(SEEDS):
        found = {}
        for rung, rule in RULES.items():
            found[rung] = rule(np.random.default_rng([seed, *rung.encode()]))
            n[rung] += passes(found[rung])
        judged = judge(list(found.values()), OPTIONS)
        n["any of the five"] += any(one.status == "passed" for one in judged)
    assert {name: count for name, count in n.items() if count > 0.05 * SEEDS} == {}


@pytest.mark.slow
def test_half_of_the_gap_is_not_more_than_half():
    n = sum(
        passes(enough(np.random.default_rng([seed, 2]), share=0.5, controls=0.0))
        for seed in range(SEEDS)
    )
    assert n <= 0.05 * SEEDS


@pytest.mark.slow
def test_a_behaviour_that_costs_coherence_passes_in_at_most_five_of_a_hundred_runs():
    n = sum(
        passes(shown(np.random.default_rng([seed, 3]), true=True, coherent=0.9))
        for seed in range(SEEDS)
    )
    assert n <= 0.05 * SEEDS


@pytest.mark.parametrize("rung", RULES)
def test_a_rung_whose_claim_is_true_passes_nearly_always(rung):
    true = {"share": 0.97, "controls": 0.3} if rung == "E4" else {"true": True}
    n = sum(passes(RULES[rung](np.random.default_rng([seed, 5]), **true)) for seed in range(40))
    assert n >= 34


@pytest.mark.slow
def test_a_code_that_loses_a_tenth_passes_as_the_same_in_at_most_five_of_a_hundred_runs():
    n = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng([seed, 6])
        ones = np.ones((2, N))
        found = Transferred(
            own=ones,
            raw=ones,
            shifted=coin(rng, 0.9, 2, N),
            separation=ones,
            draws=np.zeros((2, 200, N)),
        )
        n += passes(rungs.same_code(found, OPTIONS, margin=0.1))
    assert n <= 0.05 * SEEDS


def test_with_few_problems_nothing_is_said_to_be_absent():
    few = np.array([1.0, 0.0] * 4)
    found = judge([rungs.decodable(few, {"chance": few[::-1].copy()}, OPTIONS)], OPTIONS)[0]
    assert found.status == "under-powered"
    many = np.array([1.0, 0.0] * 400)
    found = judge([rungs.decodable(many, {"chance": many}, OPTIONS)], OPTIONS)[0]
    assert found.status == "not distinguishable"


def test_a_gap_that_is_not_there_has_no_share():
    rng = np.random.default_rng(0)
    base = coin(rng, 0.5, N)
    others = {"shuffled": base}
    for post, why in ((base, "includes 0"), (base * 0.0, "below base")):
        found = rungs.sufficient(
            base, {"plain": base}, post, others, Pushes(same=np.stack([base] * DRAWS)), OPTIONS,
            asked=base, least_share=0.5,
        )  # fmt: skip
        assert judge([found], OPTIONS)[0].status == "not run"
        assert why in found.reason


def test_the_gap_begins_at_the_base_asked_in_its_best_way():
    base, post = np.zeros(N), np.ones(N)
    better = np.array([1.0] * 10 + [0.0] * (N - 10))
    found = rungs.sufficient(
        np.ones(N), {"plain": base, "few shots": better}, post, {"shuffled": base},
        Pushes(same=np.zeros((DRAWS, N))), OPTIONS, asked=post, least_share=0.5,
    )  # fmt: skip
    assert "few shots" in found.reason
    assert found.value.value == 1.0
    assert found.control.value < 0, "a control below the best base has a share below 0, unclipped"


def test_rungs_that_were_not_run_do_not_count_as_tests():
    true = decoded(np.random.default_rng(0), true=True)
    alone = judge([true], OPTIONS)[0].p
    assert judge([true, refused("no reason")], OPTIONS)[0].p == alone
    assert judge([true, true], OPTIONS)[0].p == 2 * alone


def test_the_strongest_control_is_the_one_compared_with():
    assert strongest({"a": np.zeros(3), "b": np.ones(3)})[0] == "b"
    draws = np.linspace(0, 1, 20)[:, None] * np.ones(3)
    assert high_draw(draws, Inference(level=0.95))[0] == 1.0
    assert high_draw(draws[:19], Inference(level=0.9))[0] == draws[17, 0]
    assert (fewest_draws(Inference(level=0.95)), fewest_draws(Inference(level=0.9))) == (19, 9)


def test_a_place_is_only_as_sure_as_the_best_of_all_places_by_chance():
    rng = np.random.default_rng(0)
    effects = rng.normal(0, 1, (N, 3, 4))
    effects[:, 1, 2] += 1.0
    effects[:, 0, 0] = -1.0
    found = best_part(effects, OPTIONS)
    every = max_t(effects.reshape(N, -1), n_resamples=100, seed=0).reshape(3, 4)
    assert found[1, 2] == every[1, 2] == found.min() < 0.05
    assert found[0, 0] == 1, "a clear effect the wrong way is none"
    rises = effects.mean(0) > 0
    assert (found[rises] == every[rises]).all()


def test_a_rung_that_re_initialised_weights_pass_too_is_trivial():
    right, low = np.ones(N), np.zeros(N)
    some = np.array([1.0] * 20 + [0.0] * (N - 20))
    for anew, status in ((right, "trivial"), (some, "trivial"), (low, "passed")):
        found = rungs.decodable(right, {"chance": low}, OPTIONS, anew=anew)
        assert judge([found], OPTIONS)[0].status == status
        assert bool(found.reason) == (status == "trivial")
        assert found.arms[rungs.ANEW].value == anew.mean()
    # What the base does not pass is not trivial, whoever else passes it.
    found = rungs.decodable(low, {"chance": low}, OPTIONS, anew=right)
    assert judge([found], OPTIONS)[0].status == "not distinguishable"


def sufficiency(asked, *, score=1.0):
    base, post = np.zeros(N), np.ones(N)
    return rungs.sufficient(
        np.full(N, score), {"plain": base}, post, {"shuffled": base},
        Pushes(same=np.zeros((DRAWS, N))), OPTIONS, asked=asked, least_share=0.5,
    )  # fmt: skip


def test_the_prompt_that_elicits_the_behaviour_is_among_the_ways_to_ask():
    asked = np.array([1.0] * 20 + [0.0] * (N - 20))
    found = sufficiency(asked, score=0.6)
    assert "positive prompt" in found.reason
    assert found.value.value == pytest.approx(0.2)
    assert found.arms["share, gap from plain"].value == pytest.approx(0.6)
    assert judge([found], OPTIONS)[0].status != "passed"
    assert judge([sufficiency(asked)], OPTIONS)[0].status == "passed"


def test_a_prompt_that_alone_reaches_post_is_said_and_the_gap_begins_at_the_others():
    found = sufficiency(np.ones(N))
    assert judge([found], OPTIONS)[0].status == "passed"
    assert found.value.value == found.arms["share, positive prompt"].value == 1.0
    assert "no clear gap" in found.reason and "plain" in found.reason


PASSED, FAILED, WEAK, NONE = "passed", "not distinguishable", "under-powered", "not run"


@pytest.mark.parametrize(
    ("status", "verdict", "alignment"),
    [
        ((PASSED, PASSED, PASSED, PASSED, PASSED), "exists", "shared"),
        # Neither what can be read nor the alignment of the pair stands in the way.
        ((PASSED, FAILED, FAILED, PASSED, PASSED), "exists", "not shown"),
        ((FAILED, WEAK, PASSED, PASSED, PASSED), "exists", "under-powered"),
        (("trivial", FAILED, PASSED, PASSED, PASSED), "exists", "not shown"),
        # Nor do they help.
        ((PASSED, PASSED, PASSED, FAILED, FAILED), "not shown", "shared"),
        ((PASSED, PASSED, PASSED, PASSED, FAILED), "not shown", "shared"),
        ((PASSED, PASSED, PASSED, WEAK, FAILED), "not shown", "shared"),
        ((PASSED, PASSED, PASSED, PASSED, WEAK), "under-powered", "shared"),
        ((PASSED, NONE, NONE, PASSED, NONE), "no gap", "not measured"),
    ],
)
def test_the_verdict_rests_on_the_rungs_that_steer_the_base_and_alignment_on_its_own(
    status, verdict, alignment
):
    judged = [Judged(evidence=Evidence(claims=()), status=one, p=0.5, reason="") for one in status]
    area = torch.rand(N, 1, 1)
    ladder = ladder_of(
        judged,
        behaviour="counts",
        tried=Tried(
            places=("resid_post.1",) * 5,
            sites=("resid_post.1",),
            strengths=(1.0,),
            sweeps=[np.zeros((1, 1))] * 2,
            p_site=np.ones((5, 1)),
        ),
        decoded=Decoded(right=np.ones((1, N)), controls={}, curve=("base",), area=area),
        n=(N, N),
        options=OPTIONS,
        provenance=Provenance(seed=0),
    )
    assert (ladder.verdict, ladder.alignment) == (verdict, alignment)
    assert ladder.summary()["verdict"] == verdict
    said = ladder_sentence(ladder)
    # What a control does at a strength of its own is said where it does as much.
    for reached, told in ((0.2, False), (1.0, True)):
        here, there = (
            torch.full((n,), x, dtype=torch.float64) for n, x in ((5, 0.9), (1, reached))
        )
        passed = replace(
            ladder,
            value=Estimate(value=here, low=here, high=here),
            arm=(f"E3: {FREED}",),
            arm_value=Estimate(value=there, low=there, high=there),
        )
        found = "Controls at strengths of their own do as much" in ladder_sentence(passed)
        assert found == (told and status[3] == PASSED)
    assert said.startswith("The base already has") == (verdict == "exists")
    assert ("trivial" in said) == ("trivial" in status)
