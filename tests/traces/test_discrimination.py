"""How well confidence tells right from wrong, where few answers are wrong."""

import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from elicit.stats import Inference, unseen
from elicit.traces.discrimination import _area, discrimination, signals_of
from tests.traces.made import given_readings, task_of

HOW = Inference(n_resamples=300)


def test_a_perfect_order_of_few_answers_is_not_certain():
    right = torch.tensor([True] * 12 + [False] * 2)
    found = _area(torch.ones(14, dtype=torch.float64), right, HOW)
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(1 - unseen(2, HOW.level)) and found.low < 0.5
    worst = _area(torch.zeros(14, dtype=torch.float64), right, HOW)
    assert (worst.low, worst.value) == (0.0, 0.0) and worst.high > 0.5


def test_areas_are_those_of_scikit_learn_and_their_ends_are_areas(organism):
    pair = organism("decoupled")
    readings = given_readings(pair, task_of("organism:decoupled", 40))
    found = discrimination(pair, readings, inference=HOW)
    post = readings.post
    right = np.array([curve.final == curve.gold for curve in post.curves()])
    assert 0 < right.sum() < len(right)
    for i, (name, signal) in enumerate(signals_of(post).items()):
        assert found.signal[i] == name
        assert float(found.auroc.value[i, 1]) == pytest.approx(roc_auc_score(right, signal))
    known = ~found.auroc.low.isnan()
    assert bool((found.auroc.low[known] >= 0).all() and (found.auroc.high[known] <= 1).all())


def test_two_perfect_orders_differ_by_nothing_that_is_certain(organism, monkeypatch):
    pair = organism("decoupled")
    readings = given_readings(pair, task_of("organism:decoupled", 40))
    ones = torch.ones(4, len(readings.problem), dtype=torch.float64)
    room = sys.modules["elicit.traces.discrimination"]
    monkeypatch.setattr(room, "_linearised", lambda *_: ones)
    made = discrimination(pair, readings, inference=HOW)
    assert bool((made.difference.value == 0).all())
    assert bool((made.difference.low < -0.2).all() and (made.difference.high > 0.2).all())
