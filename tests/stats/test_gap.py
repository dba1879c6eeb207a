"""The share of a gap, its interval, and the refusal where there is no gap."""

import numpy as np
import pytest

from elicit.results import ElicitError
from elicit.stats import NoGapError, gap_share


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    base = rng.normal(0.3, 0.2, size=80)
    post = base + rng.normal(0.4, 0.3, size=80)
    return base, post


@pytest.mark.parametrize("method", ["fieller", "bootstrap"])
def test_base_recovers_none_of_the_gap_and_post_all_of_it_exactly(scores, method):
    base, post = scores
    for score, share in ((base, 0.0), (post, 1.0)):
        result = gap_share(score, base, post, method=method)
        assert (result.value, result.low, result.high) == (share, share, share)


@pytest.mark.parametrize("method", ["fieller", "bootstrap"])
def test_a_share_above_all_or_below_none_is_not_clipped(scores, method):
    base, post = scores
    noise = np.random.default_rng(1).normal(0, 0.01, size=80)
    for share in (-0.5, 1.7):
        result = gap_share(base + share * (post - base) + noise, base, post, method=method)
        assert result.value == pytest.approx(share, abs=0.02)
        assert result.low < share < result.high


def test_fieller_holds_exactly_the_shares_that_a_t_test_cannot_reject(scores):
    base, post = scores
    score = base + 0.4 * (post - base) + np.random.default_rng(2).normal(0, 0.3, size=80)
    result = gap_share(score, base, post)

    def t(share):
        rest = (score - base) - share * (post - base)
        return abs(rest.mean()) / (rest.std(ddof=1) / np.sqrt(80))

    critical = 1.9904502102  # t quantile 0.975 with 79 degrees
    assert t(result.low) == pytest.approx(critical, rel=1e-8)
    assert t(result.high) == pytest.approx(critical, rel=1e-8)
    assert t(result.value) < 1e-8
    assert t(result.low - 1e-3) > critical
    assert t(result.high + 1e-3) > critical


def test_swapping_base_and_post_turns_the_share_around(scores):
    base, post = scores
    score = base + 0.4 * (post - base) + np.random.default_rng(3).normal(0, 0.3, size=80)
    there, back = gap_share(score, base, post), gap_share(score, post, base)
    assert (back.value, back.low, back.high) == pytest.approx(
        (1 - there.value, 1 - there.high, 1 - there.low)
    )


def simulated(kind, rng, n):
    """Scores with a share of exactly one half on average."""
    if kind == "answers":
        base = 1.0 * (rng.random(n) < 0.3)
        post = np.where(base == 1, 1.0 * (rng.random(n) < 0.9), 1.0 * (rng.random(n) < 0.7))
        score = np.where(rng.random(n) < 0.5, base, post)
        return score, base, post
    noise = rng.normal if kind == "normal" else lambda size: rng.exponential(size=size) - 1
    base = noise(size=n)
    post = base + 1 + noise(size=n)
    score = base + 0.5 * (post - base) + noise(size=n)
    return score, base, post


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "skewed", "answers"])
@pytest.mark.parametrize("method", ["fieller", "bootstrap"])
def test_the_share_of_a_gap_is_covered_in_93_to_97_percent(kind, method, simulation):
    """1,000 data sets of 100: 95 % has a standard error of 0.69 %."""
    rng, drawn = np.random.default_rng(4), simulation(1000)
    covered = []
    for seed in range(drawn.n):
        result = gap_share(*simulated(kind, rng, 100), method=method, n_resamples=300, seed=seed)
        covered.append(result.low <= 0.5 <= result.high)
    assert not drawn.off_by(np.mean(covered), 0.95, 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fieller", "bootstrap"])
def test_a_gap_that_is_not_there_is_taken_for_one_in_at_most_5_percent(method, simulation):
    """1,000 data sets of 60: 5 % has a standard error of 0.69 %, three of which are granted."""
    rng, drawn = np.random.default_rng(5), simulation(1000)
    accepted = 0
    for seed in range(drawn.n):
        score, base, post = rng.normal(size=(3, 60))
        try:
            gap_share(score, base, post, method=method, n_resamples=300, seed=seed)
            accepted += 1
        except NoGapError:
            pass
    rate = accepted / drawn.n
    assert not drawn.off_by(rate, 0.05, 0.04)
    assert rate < 0.05 or not drawn.off_by(rate, 0.05, 3 * 0.0069)


@pytest.mark.parametrize("method", ["fieller", "bootstrap"])
def test_without_a_gap_a_share_is_refused_with_both_scores(method):
    base = np.array([0.0, 1.0, 0.0, 1.0])
    for post in (base, 1 - base, np.array([1.0, 1.0, 0.0, 1.0])):
        with pytest.raises(
            NoGapError, match=r"base scores 0\.5 and post 0\..*includes 0.*Use more"
        ):
            gap_share(base, base, post, method=method)
    assert issubclass(NoGapError, ElicitError)
    assert issubclass(NoGapError, ValueError)


def test_a_gap_that_is_the_same_on_every_problem_is_no_obstacle():
    base = np.array([0.1, 0.4, 0.2, 0.7])
    for method in ("fieller", "bootstrap"):
        result = gap_share(base + [0.1, 0.2, 0.1, 0.2], base, base + 1.0, method=method)
        assert result.value == pytest.approx(0.15)
        assert result.low < 0.15 < result.high


def test_columns_that_do_not_match_are_named():
    with pytest.raises(ValueError, match="base has 2 rows and post has 3"):
        gap_share([0, 1], [0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="base has 3 rows and score has 2"):
        gap_share([0, 1], [0, 1, 1], [0, 1, 1])
    # An unknown method may be caught by a type checker first, if one watches the package.
    with pytest.raises((ValueError, TypeError), match="delta"):
        gap_share([0, 1, 1], [0, 0, 0], [1, 1, 0], method="delta")  # type: ignore[arg-type]
