"""Training as mechanisms: one try a seed on the problems of the bench, with all that it cost."""

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch

from elicit import organisms
from elicit.elicitation import (
    Bench,
    Means,
    ReinforcedMeans,
    RuleCritic,
    TrainingCourse,
    TrainingName,
    training_means,
)
from elicit.jobs._mechanisms.shifts import agreement_of, rows_of_post
from elicit.organisms import trace_behaviour
from elicit.pair import weights_digest
from elicit.tasks import load_task
from tests.elicitation.chains import ANSWERS, chains

ORACLE = RuleCritic(rule=lambda problem, solution: organisms.critique(problem.prompt, solution))


@pytest.fixture(scope="module")
def bench(organism):
    facts = load_task(organisms.resolve("organism:rl").facts).subset(8, seed=0)
    return Bench(
        pair=organism("rl"),
        fit=chains(8, 21),
        choose=chains(4, 22),
        test=chains(4, 23),
        behaviour=trace_behaviour(),
        generation=replace(ANSWERS, max_new_tokens=4),
        facts=facts,
        seeds=(0, 1),
        n_samples=1,
        budget=4000,
    )


def small(name):
    means = training_means(name, critic=ORACLE)
    if isinstance(means, ReinforcedMeans):
        return replace(means, plan=replace(means.plan, steps=1, groups=2, group=4, every=1))
    return replace(means, plan=replace(means.plan, steps=1, batch=4, every=1))


def test_which_of_several_updates_was_chosen_is_told_too(bench):
    means = training_means("sft-answers")
    means = replace(means, plan=replace(means.plan, steps=4, batch=4, every=1, stop_right=2.0))
    attempt = means.attempt(replace(bench, seeds=(0,), facts=None))
    course = attempt.details["seed 0"]
    assert len(course.choice) == 4
    assert attempt.bits == pytest.approx(course.bits + 2)


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize("name", get_args(TrainingName))
def test_a_mechanism_tries_every_seed_on_the_test_problems_and_leaves_the_model(bench, name):
    digest, means = weights_digest(bench.base.bridge), small(name)
    assert isinstance(means, Means) and means.name == name
    # What all have in common is repeated for two of them alone.
    seeds = (0, 1) if name in ("rlvr", "sft-answers") else (1,)
    attempt = means.attempt(replace(bench, seeds=seeds))
    assert [len(one.right) for one in attempt.tests] == [4] * len(seeds)
    assert len(attempt.chosen) == 4
    courses = [course for key, course in attempt.details.items() if key.startswith("seed")]
    assert all(isinstance(course, TrainingCourse) for course in courses) and len(courses) == len(
        seeds
    )
    # What was told, and the choice of the updates.
    among = sum(math.log2(len(course.choice)) for course in courses) / len(seeds)
    told = sum(course.bits for course in courses) / len(seeds)
    assert attempt.bits == pytest.approx(told + among)
    assert (told == 0) == (means.sees == "nothing")
    assert attempt.n_trained > 0 and attempt.n_tokens > 0 and attempt.flops > 0
    assert "collateral" in attempt.details and "seed 1" in attempt.setting
    assert weights_digest(bench.base.bridge) == digest
    for course in courses[:1]:
        figure = course.figure()
        assert len(figure.data) >= 2
        assert torch.equal(course.choice, torch.tensor([1]))


@pytest.mark.slow(checked=True)
def test_each_seed_of_one_example_trains_on_an_example_of_its_own(bench):
    attempt = small("one-example").attempt(bench)
    examples = attempt.details["examples"]
    names = [next(iter(attempt.details[f"seed {seed}"].provenance.task_digests)) for seed in (0, 1)]
    assert len(set(names)) == 2 and all(
        n.removeprefix("example ") in examples.problem for n in names
    )


@pytest.mark.slow(checked=True)
def test_states_of_what_was_trained_are_read_along_posts_texts_and_held_against_posts(bench):
    bench = replace(bench, seeds=(1,), facts=None)
    assert small("sft-traces").attempt(bench).states is None  # nobody asked
    rows = rows_of_post(bench)
    assert rows is not None and rows.source == "post"
    bench = replace(bench, read_on=rows)
    trained = small("sft-traces").attempt(bench).states
    base, post = bench.states(bench.base), bench.states(bench.post)
    assert trained.shape == base.shape == (bench.pair.n_layers + 1, 4, bench.pair.d_model)
    assert not torch.equal(trained, base)
    found = agreement_of(bench, {"sft-traces": trained, "all of post": post})
    assert found.mechanism == ("post", "sft-traces", "all of post")
    to_post = found.cosine.value[0, :, 1:]
    assert torch.allclose(to_post[2], torch.ones_like(to_post[2])) and (to_post[1] < 0.99).all()
    assert agreement_of(bench, {}) is None
