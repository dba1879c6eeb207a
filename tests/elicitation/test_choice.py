"""The strength is the weakest that does nearly as much as the best, where texts hang together."""

import importlib
from dataclasses import replace

import pytest
import torch

from elicit.edits import last
from elicit.elicitation import (
    Choice,
    ElicitationError,
    Goal,
    choose,
    choose_arms,
    direction_arms,
    steer,
)
from elicit.elicitation.choice import best_cell, own_strengths
from elicit.rollouts import Generation
from elicit.tasks import Split, Task, TaskError
from tests.elicitation.made import dosed
from tests.elicitation.test_arms import direction
from tests.rollouts.made import STOPS, task_of

DOSES = [0.0, 0.5, 1.0, 2.0]


def test_the_weakest_of_those_near_the_best_is_taken():
    found = choose(dosed(DOSES, [0.2, 0.6, 0.96, 1.0]))
    assert found == Choice(strength=1.0, metric="accuracy", raised=True, moved=True, coherent=True)


def test_strengths_at_which_texts_fall_apart_are_left_out():
    rates = [0.2, 0.6, 0.96, 1.0]
    assert choose(dosed(DOSES, rates, [1.0, 0.96, 0.9, 0.0])).strength == 0.5
    assert choose(dosed(DOSES, rates, [1.0, 0.96, 0.96, 0.0])).strength == 1.0
    # Where texts are coherent at no strength: the one that comes nearest, then the most probable.
    logs = [-0.5, -0.7, -0.6, -9.0]
    nowhere = choose(dosed(DOSES, rates, [1.0, 0.9, 0.9, 0.0], log_probs=logs))
    assert (nowhere.strength, nowhere.coherent) == (1.0, False)


def test_where_nothing_acts_the_strongest_push_is_tested():
    found = choose(dosed(DOSES, [0.2, 0.2, 0.24, 0.2]))
    assert (found.strength, found.moved) == (2.0, False)


def test_each_control_is_tested_where_it_does_most_and_one_that_does_nothing_where_the_arm_is():
    doses = torch.tensor([0.5, 1.0, 2.0]).double()
    rates = torch.tensor([[0.1, 0.1, 0.9], [0.8, 0.82, 0.3], [0.12, 0.1, 0.14]]).double()
    assert own_strengths(rates, doses, unsteered=0.1, tested=1.0) == (2.0, 0.5, 1.0)


def test_of_several_arms_the_one_that_acts_at_the_weakest_push_is_taken():
    doses = torch.tensor([0.5, 1.0])
    rates = torch.tensor([[0.2, 0.9], [0.88, 0.9], [0.2, 0.93]], dtype=torch.float64)
    up = {"raised": True, "unsteered": 0.2}
    assert best_cell(rates, doses, **up) == (1, 0)
    assert best_cell(1 - rates, doses, raised=False, unsteered=0.8) == (1, 0)
    # Nothing acts: the strongest push, and of two such the better.
    assert best_cell(rates[[0, 2]], doses, raised=True, unsteered=0.95) == (1, 1)
    # What falls apart is left out, unless all does.
    among = torch.tensor([[True] * 2, [False] * 2, [True] * 2])
    assert best_cell(rates, doses, **up, among=among) == (2, 1)
    assert best_cell(rates, doses, **up, among=among & False) == (1, 0)


def test_the_least_strength_that_is_near_the_best_is_taken_and_ties_go_to_the_better_score():
    rates = torch.tensor([[0.0, 0.97, 1.0], [0.0, 0.98, 0.2]], dtype=torch.float64)
    scores = torch.tensor([[0.0, 0.3, 1.0], [0.0, 0.9, 0.0]], dtype=torch.float64)
    doses = torch.tensor([0.5, 1.0, 2.0])
    assert best_cell(rates, doses, raised=True, unsteered=0.0, tie=scores) == (1, 1)


def test_a_rate_is_moved_towards_the_target_or_away_from_what_the_model_does():
    rates = [0.9, 0.5, 0.1, 0.08]
    down = choose(dosed(DOSES, rates, unsteered=0.9, goal=0.0))
    assert (down.strength, down.raised, down.moved) == (1.0, False, True)
    # Without a clear gap nothing is known of a target.
    alone = choose(dosed(DOSES, rates, unsteered=0.9, goal=0.95, clear=False))
    assert (alone.strength, alone.raised) == (1.0, False)


def test_without_a_gap_in_right_answers_the_behaviour_decides():
    two = [[0.2] * 4, [0.2, 0.2, 0.9, 0.9]]
    assert choose(dosed(DOSES, two, clear=False)).metric == "shown"
    assert choose(dosed(DOSES, two)).metric == "accuracy"
    assert choose(dosed(DOSES, two), metric="shown").strength == 1.0


def test_what_leaves_nothing_to_choose_is_refused(paired):
    with pytest.raises(ElicitationError, match="no strength but 0"):
        choose(dosed([0.0], [0.2]))
    with pytest.raises(ElicitationError, match="'other' was not measured"):
        choose(dosed(DOSES, [0.2] * 4), metric="other")
    pair, task = paired("llama"), task_of(4)
    arms = direction_arms(direction(torch.ones(32)), where=last())
    ask = {"strengths": [1.0], "generation": Generation(stop_ids=STOPS, max_new_tokens=3)}
    parts = [Task(name="a", problems=task.problems[:2]), Task(name="b", problems=task.problems[2:])]
    split = Split(choose=parts[0], test=parts[1])
    with pytest.raises(TaskError, match="in both parts"):
        Split(choose=task, test=parts[0])
    with pytest.raises(ElicitationError, match="metric is 'trace'"):
        Goal(metric="trace")
    with pytest.raises(ElicitationError, match="nothing would be steered"):
        steer(pair.side("base"), split, arms, **{**ask, "strengths": [0.0]})
    with pytest.raises(ElicitationError, match="no candidate"):
        choose_arms(pair.side("base"), task, [], **ask)


@pytest.mark.parametrize(
    ("control", "dose"),
    [
        ([0.2, 1.0, 0.2, 0.2], 0.5),  # does all at another strength than the tested arm
        ([0.2, 0.2, 0.2, 0.9], 2.0),
        ([0.2, 0.2, 0.24, 0.2], 1.0),  # does nothing anywhere
    ],
)
def test_each_control_is_tested_at_the_strength_that_is_best_for_it(
    monkeypatch, paired, control, dose
):
    swept = dosed(DOSES, [0.2, 0.6, 0.96, 1.0])
    swept.rate.value[0, 1] = torch.tensor(control)
    asked = []

    def curve(side, task, arms, *, strengths, **how):
        asked.append((task, [arm.dose for arm in arms], list(strengths)))
        return swept if len(strengths) > 1 else dosed(strengths, [0.9])

    monkeypatch.setattr(importlib.import_module("elicit.elicitation.steering"), "dose_curve", curve)
    choose_on, test_on = task_of(4).split((0.5, 0.5), 0)
    split = Split(choose=choose_on, test=test_on)
    made = direction(torch.ones(4))
    arms = direction_arms(made, where=last(), controls=[replace(made, how="other")])
    found = steer(paired("llama").side("base"), split, arms, strengths=DOSES)
    assert found.choice.strength == 1.0
    assert asked == [(choose_on, [None, None], DOSES), (test_on, [None, dose], [1.0])]
