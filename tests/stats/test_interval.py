"""Intervals as values, and the Wilson interval."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import stats as reference

from elicit.stats import Interval, wilson


def interval(low, high):
    return Interval(value=(low + high) / 2, low=low, high=high, n=10, method="given")


def test_an_interval_is_clear_of_zero_only_when_both_ends_have_one_sign():
    assert interval(0.1, 0.2).clear_of_zero
    assert interval(-0.2, -0.1).clear_of_zero
    assert not interval(-0.1, 0.2).clear_of_zero
    assert not interval(0.0, 0.2).clear_of_zero
    assert not interval(-0.2, 0.0).clear_of_zero


def test_clear_of_a_margin_means_every_effect_in_the_interval_is_larger():
    assert interval(0.11, 0.3).clear_of(0.1)
    assert interval(-0.3, -0.11).clear_of(0.1)
    assert not interval(0.1, 0.3).clear_of(0.1)
    assert not interval(-0.3, 0.3).clear_of(0.1)
    for margin in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="margin is .* at least 0"):
            interval(0.1, 0.3).clear_of(margin)


def test_an_interval_goes_to_json_and_cannot_be_changed():
    assert json.loads(json.dumps(interval(0.25, 0.75).to_json())) == {
        "value": 0.5,
        "low": 0.25,
        "high": 0.75,
    }
    with pytest.raises(FrozenInstanceError):
        setattr(interval(0.1, 0.2), "low", 0.0)  # noqa: B010 - the point is that it is refused


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999])
def test_wilson_agrees_with_scipy_for_every_count(level):
    for n in (1, 2, 7, 50):
        for k in range(n + 1):
            ours = wilson(k, n, level=level)
            theirs = reference.binomtest(k, n).proportion_ci(level, method="wilson")
            assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
            assert 0 <= ours.low <= ours.value <= ours.high <= 1


def test_wilson_covers_93_to_97_percent_from_50_problems_on():
    """Exact: summed over all counts, so no simulation noise."""
    for n in (50, 75, 100, 200):
        ends = [wilson(k, n) for k in range(n + 1)]
        low, high = np.array([(i.low, i.high) for i in ends]).T
        for rate in np.arange(0.1, 0.91, 0.05):
            chance = reference.binom.pmf(np.arange(n + 1), n, rate)
            covered = chance[(low <= rate) & (rate <= high)].sum()
            assert 0.93 <= covered <= 0.9704  # 0.9703 at n = 50, rate 0.1: the lattice's nearest


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_impossible_counts(k, n):
    with pytest.raises(ValueError, match=f"k is {k} and n is {n}"):
        wilson(k, n)


def test_a_level_in_percent_is_refused():
    with pytest.raises(ValueError, match="level is 95"):
        wilson(1, 2, level=95.0)
