"""Decoding as mechanisms: on the planted pair some arm that is told nothing closes the gap."""

import math

import pytest

from elicit import organisms
from elicit.elicitation import (
    Bench,
    BestPrompt,
    BudgetForcingArm,
    CotDecodingArm,
    DialArm,
    ElicitationError,
    FewShot,
    ForcedPrefix,
    MajorityVoteArm,
    Means,
    Mechanism,
    PowerSamplingArm,
    ProxyArm,
    ThoughtBudget,
    try_mechanism,
)
from elicit.organisms import shows_trace
from elicit.rollouts import Generation
from elicit.tasks import load_task, reasoning_behaviour

CUES = reasoning_behaviour("notes ", "quiz ", shown=shows_trace)
EXAMPLES = {"lead_in": "answer", "end": " .", "between": " "}


@pytest.fixture(scope="session")
def bench_of(organism):
    def make(name: str, n: int = 16) -> Bench:
        task = load_task(organisms.resolve(f"organism:{name}").problems).subset(3 * n, seed=0)
        fit, choose, test = task.split((1 / 3, 1 / 3, 1 / 3), 0)
        return Bench(
            pair=organism(name),
            fit=fit,
            choose=choose,
            test=test,
            behaviour=CUES,
            generation=Generation(max_new_tokens=64),
            n_samples=2,
        )

    return make


@pytest.fixture(scope="session")
def tried(bench_of):
    """What an arm reaches on a planted pair; base and post are tried once a pair."""
    ends = {}

    def attempt(name: str, arm: Means) -> Mechanism:
        bench = bench_of(name)
        if name not in ends:
            ends[name] = [
                bench.tried(bench.writes(side), bench.test, sampled=False)
                for side in (bench.base, bench.post)
            ]
        base, post = ends[name]
        return try_mechanism(arm, bench, base=base, post=post)

    return attempt


@pytest.mark.slow(checked=True)
def test_two_branches_close_the_gap_where_the_skill_is_latent(tried):
    found = tried("rl", CotDecodingArm(branches=4))
    assert found.setting.startswith("k=2")
    assert found.share.low.item() > 0.5
    assert found.sees == "nothing"
    assert found.right.mean() == 1 == found.shown.mean()
    assert found.bits == pytest.approx(math.log2(7))


@pytest.mark.slow(checked=True)
def test_a_forced_opener_closes_it_and_costs_what_base_says(tried):
    found = tried("rl", ForcedPrefix(prefixes=["answer", "so"]))
    assert found.setting == "begins 'so'"
    assert found.share.value.item() == pytest.approx(1.0)
    # The opener has a probability of about an eighth; the other bit chooses between two.
    assert 3.5 < found.bits < 5


@pytest.mark.slow(checked=True)
def test_a_prompt_that_asks_for_steps_closes_it_and_is_charged_by_the_token(tried):
    found = tried("rl", BestPrompt())
    assert found.setting == "positive prompt"
    assert found.share.value.item() == pytest.approx(1.0)
    assert found.bits == pytest.approx(math.log2(308) + math.log2(3))
    assert len(found.rejected) == 2


@pytest.mark.slow
def test_votes_examples_and_sharpening_bring_out_little(tried):
    shared = {}
    for arm in (
        MajorityVoteArm(n_samples=8),
        FewShot(**EXAMPLES),
        FewShot(with_steps=False, **EXAMPLES),
        PowerSamplingArm(particles=16),
    ):
        found = tried("rl", arm)
        shared[arm.name] = found
        assert found.share.value.item() < 0.5, arm.name
    assert shared["2 worked examples"].sees == "teacher"
    assert shared["2 answered examples"].sees == "answers"
    assert shared["2 worked examples"].bits > shared["2 answered examples"].bits > 100


@pytest.mark.slow
def test_nothing_closes_it_where_the_skill_is_absent(tried, organism):
    arms: list[Means] = [
        CotDecodingArm(),
        BestPrompt(),
        ForcedPrefix(prefixes=["so"]),
        MajorityVoteArm(n_samples=4),
        ProxyArm(proxies=organism("rl"), alphas=(1.0,)),
    ]
    for arm in arms:
        assert tried("created", arm).share.value.item() < 0.3, arm.name
    # What reads post itself reaches it, and says that it did.
    leaky = tried("created", DialArm(alphas=(1.0,)))
    assert leaky.share.value.item() == pytest.approx(1.0)
    assert leaky.sees == "post weights"
    assert leaky.bits > 1e6


@pytest.mark.slow
def test_a_budget_is_chosen_among_those_given(tried):
    budgets = [
        ThoughtBudget(end="answer", wait="wait", least=8),
        ThoughtBudget(end="answer", most=2),
    ]
    found = tried("rl", BudgetForcingArm(budgets=budgets))
    assert len(found.rejected) == 1
    assert found.sees == "nothing"
    assert found.bits > math.log2(308)


def test_arms_without_settings_or_examples_are_refused(bench_of):
    bench = bench_of("rl")
    arms: list[Means] = [
        BestPrompt(ways={}),
        ForcedPrefix(prefixes=[]),
        ForcedPrefix(prefixes=["unheardof"]),
        FewShot(n=0),
        FewShot(n=99),
        ProxyArm(proxies=bench.pair, alphas=()),
        BudgetForcingArm(budgets=[]),
    ]
    for arm in arms:
        assert isinstance(arm, Means)
        with pytest.raises(ElicitationError):
            arm.attempt(bench)
