"""Equivalence, and the effect that could have been seen."""

import numpy as np
import pytest
from scipy import stats as reference

from elicit.stats import minimum_detectable_effect, tost


def t_test(values, mean, *, alternative):
    """Only scipy's p-value: its result type is not one that a type checker can read."""
    return np.asarray(reference.ttest_1samp(values, mean, alternative=alternative))[1]


def test_tost_is_the_larger_of_two_one_sided_t_tests():
    rng = np.random.default_rng(0)
    for shift in (-0.3, 0.0, 0.1, 0.5):
        values = rng.normal(shift, 1, size=60)
        result = tost(values, margin=0.4)
        above = t_test(values, -0.4, alternative="greater")
        below = t_test(values, 0.4, alternative="less")
        assert result.p == pytest.approx(max(above, below), rel=1e-9)
        theirs = reference.ttest_1samp(values, 0).confidence_interval(0.9)
        assert (result.interval.low, result.interval.high) == pytest.approx(tuple(theirs))
        assert result.interval.level == pytest.approx(0.9)


def test_equivalence_is_shown_exactly_when_the_interval_lies_within_the_margin():
    rng = np.random.default_rng(1)
    verdicts = []
    for _ in range(300):
        result = tost(rng.normal(0.1, 1, size=80), margin=0.35)
        inside = result.interval.low > -0.35 and result.interval.high < 0.35
        assert result.equivalent is inside
        verdicts.append(inside)
    assert 50 < sum(verdicts) < 250  # both verdicts were seen often


def test_differences_that_never_vary_are_judged_by_their_value():
    assert tost([0.0] * 5, margin=0.1).p == 0.0
    assert tost([0.1] * 5, margin=0.1).p == 1.0
    assert tost([0.1] * 5, margin=0.1).interval.low == 0.1
    assert not tost([-0.2] * 5, margin=0.1).equivalent


@pytest.mark.parametrize("kind", ["normal", "answers"])
def test_a_difference_of_exactly_the_margin_is_called_equivalent_in_at_most_5_percent(kind):
    """3,000 data sets of 100: 5 % has a standard error of 0.4 %, three of which are granted."""
    rng = np.random.default_rng(2)
    if kind == "normal":
        data = rng.normal(0.2, 1, size=(3000, 100))
    else:  # differences of 0/1 answers with mean exactly 0.2
        data = rng.choice([-1.0, 0.0, 1.0], p=[0.15, 0.5, 0.35], size=(3000, 100))
    found = np.mean([tost(values, margin=0.2).equivalent for values in data])
    assert 0.03 < found < 0.05 + 3 * 0.004


def test_the_interval_of_an_equivalence_covers_its_level():
    """2,000 data sets of 50, level 90 %: standard error 0.67 %."""
    data = np.random.default_rng(3).normal(0.3, 2, size=(2000, 50))
    intervals = [tost(values, margin=1.0).interval for values in data]
    assert 0.88 < np.mean([i.low <= 0.3 <= i.high for i in intervals]) < 0.92


def test_an_effect_of_the_detectable_size_is_found_as_often_as_promised():
    """10,000 data sets of 34 with that effect: 80 % has a standard error of 0.4 %."""
    rng = np.random.default_rng(4)
    spread = rng.normal(size=34)
    spread = (spread - spread.mean()) / spread.std(ddof=1)
    effect = minimum_detectable_effect(spread, power=0.8)
    # The textbook's n for d = 0.5 at 80 % is 33.4: 34 problems see a little less than 0.5.
    assert 0.49 < effect < 0.5
    data = rng.normal(effect, 1, size=(10_000, 34))
    found = t_test(data.T, 0.0, alternative="two-sided") < 0.05
    assert np.mean(found) == pytest.approx(0.8, abs=0.012)


def test_the_detectable_effect_scales_with_the_spread_and_falls_with_the_problems():
    values = np.random.default_rng(5).normal(size=100)
    effect = minimum_detectable_effect(values)
    assert minimum_detectable_effect(3 * values + 7) == pytest.approx(3 * effect)
    assert minimum_detectable_effect(np.tile(values, 4)) == pytest.approx(effect / 2, rel=0.02)
    assert minimum_detectable_effect(values, power=0.9) > effect
    assert minimum_detectable_effect(values, level=0.99) > effect
    # Large samples: z(0.975) + z(0.8) standard errors.
    many = np.tile(values, 500)
    assert minimum_detectable_effect(many) == pytest.approx(
        2.801585 * many.std() / np.sqrt(len(many)), rel=1e-3
    )
    assert minimum_detectable_effect([2.0, 2.0, 2.0]) == 0.0


def test_impossible_options_are_refused_with_their_value():
    values = [0.1, 0.2, 0.3]
    for margin in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="margin is"):
            tost(values, margin=margin)
    with pytest.raises(ValueError, match="alpha is 0.5"):
        tost(values, margin=1.0, alpha=0.5)
    with pytest.raises(ValueError, match="power is 80"):
        minimum_detectable_effect(values, power=80.0)
    with pytest.raises(ValueError, match="power is 0.01 at level 0.95"):
        minimum_detectable_effect(values, power=0.01)
    with pytest.raises(ValueError, match="values has 1 rows"):
        tost([0.1], margin=1.0)
