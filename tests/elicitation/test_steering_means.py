"""Steering as a mechanism: a dose of its own for what is tested and for controls, and its bits."""

import math
from dataclasses import replace

import pytest

from elicit import organisms
from elicit.elicitation import (
    Bench,
    DiffMeanSteering,
    ElicitationError,
    HybridSteering,
    HybridTraining,
    Means,
    Reranking,
    try_mechanism,
)
from elicit.elicitation._pushing import prompt_bits
from elicit.rollouts import Generation
from elicit.sites import resid_post
from elicit.tasks import Behaviour, load_task

SITES = (resid_post(1), resid_post(4))
STRENGTHS = (0.5, 2.0)


@pytest.fixture(scope="module")
def benches(organism):
    """The bench of a pair, with few and short problems."""

    def make(name: str, behaviour: Behaviour | None = None) -> Bench:
        task = load_task(organisms.resolve("organism:rl").problems, name="problems")
        short = replace(task, problems=tuple(p for p in task if (p.difficulty or 0) <= 2))
        fit, choose, test = short.split((0.3, 0.3, 0.4), 0)
        return Bench(
            pair=organism(name),
            fit=fit,
            choose=choose,
            test=test,
            behaviour=behaviour or organisms.trace_behaviour(),
            generation=Generation(max_new_tokens=30),
            n_samples=1,
        )

    return make


@pytest.fixture(scope="module")
def tried(benches):
    """A mechanism held against base and post of a pair."""
    known = {}

    def run(name: str, means: Means):
        if name not in known:
            bench = benches(name)
            known[name] = (bench, *(
                bench.tried(bench.writes(side), bench.test, sampled=True)
                for side in (bench.base, bench.post)
            ))  # fmt: skip
        bench, base, post = known[name]
        return try_mechanism(means, bench, base=base, post=post)

    return run


def test_arms_say_what_they_see_and_which_are_controls():
    arms = (DiffMeanSteering(), HybridSteering(), Reranking())
    assert [arm.sees for arm in arms] == ["nothing", "post texts", "post weights"]
    assert not any(arm.control for arm in arms)
    controls = (DiffMeanSteering(control=True), HybridSteering(control=True))
    assert all(arm.control for arm in controls)
    assert len({arm.name for arm in (*arms, *controls)}) == 5
    assert all(isinstance(arm, Means) for arm in (*arms, *controls))


def test_a_prompt_is_worth_the_words_in_which_both_prompts_differ(benches):
    bench = benches("rl")
    # One word each: the header that asks for a trace, and the one that asks for an answer.
    word = math.log2(bench.pair.alignment.d_vocab)
    assert prompt_bits(bench) == pytest.approx(2 * word)
    same = replace(bench.behaviour, negative=bench.behaviour.positive)
    assert prompt_bits(replace(bench, behaviour=same)) == 0


def test_without_a_strength_nothing_is_steered(benches):
    with pytest.raises(ElicitationError, match="nothing would be steered"):
        DiffMeanSteering(sites=SITES[:1], strengths=(0.0,)).attempt(benches("rl"))


@pytest.mark.slow
def test_a_direction_between_two_prompts_brings_out_what_base_has(tried):
    found = tried("rl", DiffMeanSteering(sites=SITES, strengths=STRENGTHS))
    assert found.share.value >= 0.8
    # The words that differ between both prompts, and the choice of layer and strength.
    assert math.log2(len(SITES) * len(STRENGTHS)) < found.bits < 20
    assert found.n_trained == 0
    assert len(found.rejected) == len(SITES) * len(STRENGTHS) - 1
    assert not any(found.setting == each.partition(":")[0] for each in found.rejected)


@pytest.mark.slow
def test_a_control_is_tried_at_every_layer_and_strength_too(tried):
    found = tried("rl", DiffMeanSteering(control=True, sites=SITES, strengths=STRENGTHS))
    # Two directions, random and shuffled, at every site.
    assert len(found.rejected) == 2 * len(SITES) * len(STRENGTHS) - 1
    # Nothing but the choice among them is told.
    assert found.control and found.bits == math.log2(2 * len(SITES) * len(STRENGTHS))
    # A push that tips greedy texts need not move sampled ones: both are there to be read.
    assert found.right_sampled.mean() < found.post_sampled.mean()


@pytest.mark.slow
def test_a_direction_brings_out_nothing_that_base_lacks(tried):
    found = tried("created", DiffMeanSteering(sites=SITES[1:], strengths=STRENGTHS))
    assert found.share.high < 0.5
    assert abs(found.share.value.item()) <= 0.2


@pytest.mark.slow
def test_a_hybrid_is_told_its_numbers_and_a_random_vector_only_the_switch(tried):
    short = {
        "training": HybridTraining(steps=20, learning_rate=0.1),
        "gates": False,
        "coefficients": (1.0,),
    }
    found = tried("rl", HybridSteering(**short))
    control = tried("rl", HybridSteering(control=True, **short))
    assert found.share.value >= 0.9
    assert abs(control.share.value.item()) <= 0.2
    assert found.bits == 16 * found.n_trained
    assert 0 < control.bits < found.bits


@pytest.mark.slow
def test_post_picks_the_same_out_of_base_and_is_told_everything(tried):
    found = tried("rl", Reranking())
    assert found.share.value >= 0.95
    assert found.bits > 1e6
