"""Few, skewed and sparse values: what is widened, and what never is a point."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from elicit.stats import (
    Inference,
    bootstrap_mean,
    joint_estimate,
    joint_gap_shares,
    joint_intervals,
    joint_tests,
    max_t,
    problem_mean,
    problems_needed,
    simultaneous_intervals,
)
from elicit.stats.few import event_ends

PARTS, SETS = 12, 60


def latent(seed, n, parts=PARTS):
    rng = np.random.default_rng([seed, n])
    return np.sqrt(0.3) * rng.normal(size=(n, 1)) + np.sqrt(0.7) * rng.normal(size=(n, parts))


def rare(rate):
    return lambda seed, n: 1.0 * (latent(seed, n) > norm.ppf(1 - rate))


def skewed(seed, n):
    return -norm.logsf(latent(seed, n)) - 1


def covered(draw, mean, n):
    found = 0
    for seed in range(SETS):
        low, high = joint_intervals(draw(seed, n), n_resamples=100, seed=seed)[1:]
        found += bool(((low <= mean) & (mean <= high)).all())
    return found / SETS


@pytest.mark.parametrize(("rate", "n"), [(0.1, 8), (0.1, 12), (0.05, 8), (0.05, 20)])
def test_twelve_sparse_effects_are_covered_together_with_few_problems(rate, n):
    assert covered(rare(rate), rate, n) >= 0.93


@pytest.mark.parametrize(("n", "least"), [(12, 0.8), (20, 0.86), (40, 0.9)])
def test_skewed_effects_are_covered_far_better_than_by_symmetric_intervals(n, least):
    assert covered(skewed, 0.0, n) >= least


def test_a_family_of_skewed_effects_of_mean_0_is_seldom_called_an_effect():
    draws = [skewed(seed, 20) for seed in range(SETS)]
    false = np.mean([(max_t(x, n_resamples=100, seed=0) <= 0.05).any() for x in draws])
    assert false <= 0.15, "sign flips alone: over 0.2"


@pytest.mark.parametrize("n", [4, 8, 15, 40])
@pytest.mark.parametrize("kind", ["normal", "skewed", "sparse"])
def test_a_p_value_is_below_its_level_exactly_where_the_interval_excludes_0(n, kind):
    draw = {"normal": latent, "skewed": skewed, "sparse": rare(0.3)}[kind]
    shift = np.linspace(-1, 1, PARTS) * (kind != "sparse")
    for seed in range(8):
        value, low, high, p = joint_tests(draw(seed, n) + shift, n_resamples=200, seed=seed)
        assert np.array_equal((low > 0) | (high < 0), p < 0.05)
        assert ((p > 0) & (p <= 1)).all()


def test_an_effect_of_which_no_event_was_seen_is_not_certain_beside_others_that_are_rare():
    rows = np.zeros((8, 3))
    rows[0, 0] = 1.0
    low, high = joint_intervals(rows, n_resamples=100, seed=0)[1:]
    assert (low < 0).all() and (high >= 1 - (0.05 / 12) ** (1 / 8) - 1e-9).all()
    # Where no part is sparse, one that is 0 throughout is so by construction.
    rows[:, :2] = np.random.default_rng(0).normal(size=(8, 2))
    low, high = joint_intervals(rows, n_resamples=100, seed=0)[1:]
    assert (low[2], high[2]) == (0, 0)


def test_the_exact_interval_of_events_is_that_of_their_rate_and_sign():
    values = np.array([1.0] * 9 + [0.0] * 31)
    low, high, p = event_ends(values, 0.95, size=1.0)
    rate = binomtest(9, 40).proportion_ci(0.975)
    sign = binomtest(9, 9).proportion_ci(0.975)
    assert low == pytest.approx(rate.low * (2 * sign.low - 1))
    assert high == pytest.approx(rate.high)
    assert p == pytest.approx(2 * binomtest(9, 9).pvalue)
    assert low > 0 and p < 0.05
    low, high, p = event_ends(np.zeros(8), 0.95, size=2.0)
    assert (low, high, p) == (-high, pytest.approx(2 * (1 - 0.0125 ** (1 / 8))), 1.0)


def test_more_problems_are_needed_for_skewed_and_for_sparse_effects():
    rng = np.random.default_rng(0)
    even, heavy = rng.normal(size=200), rng.lognormal(0, 1, size=200)
    rows = np.stack([even, heavy, 1.0 * (rng.random(200) < 0.05), np.zeros(200)], axis=1)
    needed = problems_needed(rows)
    assert needed[0] in (10, 11) and needed[1] > 40 and needed[2] > 100
    assert needed[3] == 2


@pytest.mark.parametrize("value", [0.0, 1.0, 3.0])
def test_problems_that_are_alike_by_chance_leave_room_for_others(value):
    same = np.full(24, value)
    found = problem_mean(same, span=1.0)
    room = 1 - 0.025 ** (1 / 24)
    assert (found.low, found.high) == pytest.approx((value - room, value + room))
    assert (problem_mean(same).low, problem_mean(same).high) == (value, value)
    import torch

    joint = joint_estimate(torch.from_numpy(same)[:, None].expand(-1, 3), span=2.0)
    assert ((joint.high - value) == (value - joint.low)).all()
    assert (joint.high - value > 2 * room).all(), "wider, for three parts at once"


def test_few_skewed_values_have_the_longer_half_where_their_tail_is():
    values = np.random.default_rng(3).exponential(size=12)
    found = bootstrap_mean(values, seed=0)
    assert found.high - found.value > found.value - found.low
    mirrored = bootstrap_mean(-values, seed=0)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_shares_at_any_part_hold_together_and_none_are_told_without_a_gap():
    rng = np.random.default_rng(0)
    gap = 4 + rng.normal(size=24)
    gains = gap[:, None] * 0.5 + 0.2 * rng.normal(size=(24, 6))
    told = joint_gap_shares(gains, gap, level=0.95, n_resamples=200, seed=0)
    alone = joint_gap_shares(gains[:, :1], gap, level=0.95, n_resamples=200, seed=0)
    assert (told[1] < 0.5).all() and (told[2] > 0.5).all()
    assert told[2, 0] - told[1, 0] >= alone[2, 0] - alone[1, 0]
    unsure = joint_gap_shares(gains, gap - 4, level=0.95, n_resamples=200, seed=0)
    assert np.isnan(unsure).all()


def test_simultaneous_intervals_tell_the_same_p_values():
    rows = latent(0, 20) + 0.5
    found = simultaneous_intervals(rows, n_resamples=200, seed=1)
    assert np.array_equal(found.p, joint_tests(rows, n_resamples=200, seed=1)[3])
    assert Inference().level == 0.95
