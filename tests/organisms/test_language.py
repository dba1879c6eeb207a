"""The synthetic language: right by construction, the same from the same seed."""

import numpy as np
import pytest

from elicit.organisms import OrganismError, World, drawn_task, read_chain
from elicit.organisms.language import ATTRIBUTES, VALUES, Chain, draw_chain, fact_question


def test_a_chain_worked_out_by_hand():
    chain = Chain(letters=("a", "b", "c"), start=3, steps=(("+", 4), ("*", 7)))
    assert chain.values == (3, 7, 9)
    assert chain.answer == 9
    assert chain.question == "Q a = 3 ; b = a + 4 ; c = b * 7 ; c ? A"
    assert chain.trace == "so b = 3 + 4 = 7 ; so c = 7 * 7 = 9 ;"


def test_every_step_of_every_chain_follows_from_the_one_before():
    rng = np.random.default_rng(0)
    for _ in range(300):
        chain = draw_chain(rng)
        value = chain.start
        for (op, operand), after in zip(chain.steps, chain.values[1:], strict=True):
            expected = {"+": value + operand, "-": value - operand, "*": value * operand}[op]
            value = expected % 10
            assert after == value
        assert len(set(chain.letters)) == len(chain.steps) + 1


def test_a_step_can_be_told_wrong():
    chain = Chain(letters=("a", "b"), start=3, steps=(("-", 5),))
    assert chain.step(0) == "b = 3 - 5 = 8"
    assert chain.step(0, result=1) == "b = 3 - 5 = 1"


@pytest.mark.parametrize("seed", [11, 29])
def test_worlds_have_distinct_words_and_whole_facts(seed):
    world = World(name="w", seed=seed)
    assert len(set(world.vocabulary)) == len(world.vocabulary)
    assert len(world.facts) == 600
    for (entity, attribute), value in world.facts.items():
        assert value in VALUES[attribute]
        assert world.other_facts[entity, attribute] != value
        assert world.other_facts[entity, attribute] in VALUES[attribute]
        assert set(fact_question(entity, attribute).split()) <= set(world.vocabulary)
    assert World(name="w", seed=seed).facts == world.facts
    assert set(ATTRIBUTES) == set(VALUES)


def test_other_seeds_are_other_worlds():
    one, two = World(name="a", seed=11), World(name="b", seed=29)
    assert one.entities != two.entities


def test_drawn_tasks_are_fresh_right_and_the_same_from_the_same_seed():
    first = drawn_task(30, seed=3)
    assert first.digest == drawn_task(30, seed=3).digest != drawn_task(30, seed=4).digest
    assert [problem.difficulty for problem in first][:7] == [1, 2, 3, 4, 5, 6, 1]
    assert all(read_chain(problem.prompt).answer == int(problem.answer) for problem in first)
    without = [problem.prompt for problem in first]
    assert not set(without) & {p.prompt for p in drawn_task(30, seed=3, without=without)}
    with pytest.raises(OrganismError, match="0 problems"):
        drawn_task(0, seed=0)
