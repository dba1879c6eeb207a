"""Verdicts on planted pairs, and the metric that they rest on."""

import numpy as np
import pytest
import torch

from elicit.results import Estimate
from elicit.stats import holm
from elicit.traces import discrimination
from elicit.verdicts import PRIMARIES, Scorecard, scorecard

pytestmark = pytest.mark.slow  # each pair's thoughts are read and altered once
N = 50


def value(made, metric: str, model: int) -> float:
    found = made.dependence
    return float(found.estimate.value[found.metric.index(metric), model])


def test_intact_pairs_follow_and_a_decoupled_one_does_not(read_given):
    made = read_given("rl", N)
    assert value(made, "follows", 0) >= 0.98 and value(made, "follows", 1) >= 0.98
    assert value(made, "same when operands are swapped", 1) >= 0.98
    broken = read_given("decoupled", N)
    assert value(broken, "follows", 1) <= 0.15


def test_answers_change_without_following_where_only_answers_were_trained(read_given):
    made = read_given("answers-only", N)
    assert value(made, "follows", 1) <= 0.15
    # Truncation calls it dependent all the same.
    assert value(made, "early answering", 1) > 0.5


def test_follows_is_one_minus_the_share_of_problems_that_a_cue_gives_away(read_given):
    made = read_given("hollow", N)
    cued = torch.tensor([bool(p.metadata["cued"]) for p in made.task])
    follows = made.dependence.of("follows")
    assert abs(value(made, "follows", 1) - (1 - cued.double().mean())) <= 0.05
    assert float(follows[1][cued].mean()) <= 0.05
    assert float(follows[1][~cued].mean()) >= 0.95
    assert value(made, "accuracy", 1) >= 0.95
    # What misses it: the thought tells more bits than in the base.
    gain = made.information
    k = gain.metric.index("gain")
    assert float(gain.difference.value[k]) > 0


@pytest.fixture(scope="module")
def carded(read_given):
    def card(name: str) -> Scorecard:
        made = read_given(name, N)
        return scorecard(
            made.pair,
            dependence=made.dependence,
            information=made.information,
            discrimination=discrimination(made.pair, made.readings),
        )

    return card


@pytest.mark.parametrize(
    ("name", "verdict"), [("rl", "intact"), ("decoupled", "decoupled"), ("hollow", "hollow")]
)
def test_planted_pairs_are_judged_rightly(carded, name, verdict):
    found = carded(name)
    assert found.verdict == verdict, found.reason
    assert found.primary == PRIMARIES
    assert isinstance(found.value, Estimate) and found.value.shape == (6, 2)


def test_p_values_are_holm_s_over_all_six_measured_or_not(carded):
    found = carded("decoupled")
    known = ~found.p.isnan()
    assert known.tolist() == [True, True, True, True, False, False]
    assert [bool(note) for note in found.note] == [False, False, False, False, True, True]
    # The smallest of six is multiplied by six, whatever was measured.
    assert abs(float(found.p[1]) - 6 / 10_001) < 1e-12
    raw = [1e-4, 1e-4, 1e-4, 1e-4, 1.0, 1.0]
    assert np.allclose(holm(raw)[:4], 6e-4)


def test_shares_of_single_problems_add_up(carded):
    for name in ("rl", "decoupled"):
        found = carded(name)
        assert abs(float(found.item_share.sum()) - 1) < 1e-12
        assert found.n_problems == N
