"""Shares of a gap in right answers, with few problems too; known answers where they are rates."""

import numpy as np
import pytest

from elicit.stats import gap_share, outcome_difference, outcome_shares


def agresti_coull(k, n, c, z):
    total = n + z * z
    centre = (k + z * z / 2) / total
    half = c * np.sqrt(centre * (1 - centre) / total)
    return centre - half, centre + half


@pytest.mark.parametrize(("k", "n"), [(0, 10), (7, 10), (40, 60), (60, 60)])
def test_a_share_of_a_gap_of_one_is_a_proportion_with_agresti_and_coulls_interval(k, n):
    from scipy.stats import norm, t

    right = 1.0 * (np.arange(n) < k)
    value, low, high = outcome_shares(right[:, None], np.ones(n))[:, 0]
    ends = agresti_coull(k, n, t(n - 1).ppf(0.975), norm.ppf(0.975))
    assert value == pytest.approx(k / n)
    assert (low, high) == pytest.approx((min(ends[0], value), max(ends[1], value)))


def test_with_many_problems_it_is_fiellers_interval():
    rng = np.random.default_rng(0)
    base, post = 1.0 * (rng.random((2, 200_000)) < [[0.3], [0.8]])
    right = 1.0 * (rng.random(200_000) < 0.6)
    ours = outcome_shares((right - base)[:, None], post - base)[:, 0]
    theirs = gap_share(right, base, post)
    assert ours == pytest.approx([theirs.value, theirs.low, theirs.high], abs=1e-4)


def test_problems_that_all_agree_are_not_certain_and_fewer_are_less_so():
    reach = []
    for n in (5, 20, 100):
        value, low, high = outcome_shares(np.ones((n, 1)), np.ones(n))[:, 0]
        assert value == 1.0 and low < 1.0 <= high
        reach.append(1.0 - low)
    assert reach[0] > 0.4 and reach == sorted(reach, reverse=True)


def test_without_a_gap_there_is_no_share():
    base = np.array([0.0, 1.0, 0.0, 1.0])
    assert np.isnan(outcome_shares(np.ones((4, 2)), base - base)).all()
    assert np.isnan(outcome_shares(np.zeros((1, 1)), np.ones(1))).all()
    assert np.isnan(outcome_shares(np.zeros((30, 1)), -np.ones(30))[1:]).all()


def test_joint_intervals_are_wider_and_those_of_one_part_are_the_same():
    rng = np.random.default_rng(1)
    gains = 1.0 * (rng.random((40, 6)) < 0.4)
    alone, joint = (outcome_shares(gains, np.ones(40), joint=joint) for joint in (False, True))
    assert (joint[2] > alone[2]).all() and np.array_equal(joint[0], alone[0])
    assert np.array_equal(outcome_shares(gains[:, :1], np.ones(40), joint=True), alone[:, :1])


@pytest.mark.parametrize("n", [8, 20, 60])
@pytest.mark.parametrize(("rate", "share"), [(0.25, 0.5), (0.0, 0.5), (0.25, 0.8), (0.0, 0.8)])
def test_an_end_lies_beyond_the_true_share_as_seldom_as_it_should(n, rate, share):
    """800 data sets: nominal 2.5 % has a standard error of 0.55 %, three of which are granted."""
    rng = np.random.default_rng(2)
    beyond = np.zeros(2)
    for _ in range(800):
        base = 1.0 * (rng.random(n) < rate)
        right = 1.0 * (rng.random(n) < rate + share * (1 - rate))
        _, low, high = outcome_shares((right - base)[:, None], 1 - base)[:, 0]
        beyond += [low > share, high < share]
    assert (beyond / 800 < 0.042).all()


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_a_difference_that_is_not_there_is_seen_in_at_most_5_percent(rate):
    rng = np.random.default_rng(3)
    seen = 0
    for _ in range(800):
        a, b = 1.0 * (rng.random((2, 30)) < rate)
        _, low, high = outcome_difference(a, b)
        seen += low > 0 or high < 0
    assert seen / 800 < 0.073
    value, low, high = outcome_difference(np.ones(10), np.zeros(10))
    assert value == high == 1.0 and 0.4 < low < 1.0
    value, low, high = outcome_difference(np.ones(10), np.ones(10))
    assert value == 0.0 and low == -high < 0
