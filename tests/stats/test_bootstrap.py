"""The bootstrap of a mean: coverage, laws and scipy."""

import numpy as np
import pytest
import torch
from scipy import stats as reference

from elicit.stats import bootstrap_difference, bootstrap_mean


@pytest.mark.parametrize(
    ("method", "n"),
    [
        ("t", 50),
        pytest.param("t", 100, marks=pytest.mark.slow),
        pytest.param("bca", 100, marks=pytest.mark.slow),
        pytest.param("percentile", 100, marks=pytest.mark.slow),
    ],
)
def test_the_mean_of_answers_is_covered_in_93_to_97_percent(method, n):
    """Exact but for the resampling: summed over all counts of right answers."""
    counts = np.arange(n + 1)
    answers = counts[:, None] > np.arange(n)
    ends = [bootstrap_mean(row, method=method, seed=0) for row in answers]
    low, high = np.array([(i.low, i.high) for i in ends]).T
    for rate in np.arange(0.1, 0.91, 0.1):
        covered = (low <= rate + 1e-9) & (high >= rate - 1e-9)
        assert 0.93 <= reference.binom.pmf(counts, n, rate)[covered].sum() <= 0.97


CONTINUOUS = {
    "normal": (lambda rng, size: rng.normal(size=size), 0.0),
    "exponential": (lambda rng, size: rng.exponential(size=size), 1.0),
    "lognormal": (lambda rng, size: rng.lognormal(0, 0.5, size=size), np.exp(0.125)),
    "heavy": (lambda rng, size: rng.standard_t(4, size=size), 0.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONTINUOUS)
@pytest.mark.parametrize("n", [50, 100])
def test_the_mean_of_skewed_and_heavy_values_is_covered_in_93_to_97_percent(kind, n, simulation):
    """1,500 data sets: 95 % has a standard error of 0.56 %."""
    (draw, truth), drawn = CONTINUOUS[kind], simulation(1500)
    data = draw(np.random.default_rng(1), (drawn.n, n))
    ends = [bootstrap_mean(row, n_resamples=400, seed=seed) for seed, row in enumerate(data)]
    covered = np.mean([i.low <= truth <= i.high for i in ends])
    assert not drawn.off_by(covered, 0.95, 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_the_other_methods_cover_symmetric_values_in_93_to_97_percent(method, simulation):
    """1,000 data sets of 100: 95 % has a standard error of 0.69 %."""
    drawn = simulation(1000)
    data = np.random.default_rng(2).normal(size=(drawn.n, 100))
    ends = [
        bootstrap_mean(row, n_resamples=1000, method=method, seed=seed)
        for seed, row in enumerate(data)
    ]
    assert not drawn.off_by(np.mean([i.low <= 0 <= i.high for i in ends]), 0.95, 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["t", "bca"])
def test_problems_with_several_rows_are_covered_and_rows_alone_are_not(method, simulation):
    """1,000 data sets of 60 problems with 1 to 8 rows: 95 % has a standard error of 0.69 %."""
    rng, drawn = np.random.default_rng(3), simulation(1000)
    by_problem, by_row = [], []
    for seed in range(drawn.n):
        problem = np.repeat(np.arange(60), rng.integers(1, 9, size=60))
        rate = rng.beta(1, 1, size=60)
        rows = rng.random(len(problem)) < rate[problem]  # mean 0.5, rows of a problem alike
        for covered, clusters in ((by_problem, problem), (by_row, None)):
            i = bootstrap_mean(rows, clusters=clusters, n_resamples=400, method=method, seed=seed)
            covered.append(i.low <= 0.5 <= i.high)
    assert not drawn.off_by(np.mean(by_problem), 0.95, 0.02)
    assert np.mean(by_row) < 0.85


@pytest.mark.slow
def test_answers_of_equal_models_differ_clearly_in_at_most_5_percent(simulation):
    """1,500 data sets of 80: 5 % has a standard error of 0.56 %, three of which are granted."""
    rng, drawn = np.random.default_rng(4), simulation(1500)
    found = []
    for seed in range(drawn.n):
        hard = rng.random(80)
        a, b = (rng.random((2, 80)) < hard) * 1.0
        found.append(bootstrap_difference(a, b, n_resamples=400, seed=seed).clear_of_zero)
    assert not drawn.off_by(np.mean(found), 0.05, 3 * 0.0056)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_bca_and_percentile_agree_with_scipy(method):
    """100,000 resamples: an end of the interval has a standard error near 0.01 of the mean's."""
    values = np.random.default_rng(5).exponential(size=60)
    ours = bootstrap_mean(values, n_resamples=100_000, method=method.lower(), seed=0)
    theirs = reference.bootstrap(
        (values,), np.mean, n_resamples=100_000, method=method, rng=np.random.default_rng(1)
    ).confidence_interval
    error = values.std(ddof=1) / np.sqrt(60)
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * error)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * error)
    assert ours.high - ours.value > ours.value - ours.low  # skewed, as the values are


def test_the_t_interval_of_normal_values_is_the_students_t_interval():
    values = np.random.default_rng(6).normal(size=200)
    ours = bootstrap_mean(values, n_resamples=20_000, seed=0)
    theirs = reference.ttest_1samp(values, 0).confidence_interval(0.95)
    error = values.std(ddof=1) / np.sqrt(200)
    assert ours.low == pytest.approx(theirs.low, abs=0.1 * error)
    assert ours.high == pytest.approx(theirs.high, abs=0.1 * error)


@pytest.mark.parametrize("method", ["t", "bca", "percentile"])
def test_problems_with_one_row_each_are_resampled_like_rows(method):
    values = np.random.default_rng(7).exponential(size=40)
    rows = bootstrap_mean(values, method=method, seed=0)
    problems = bootstrap_mean(values, clusters=np.arange(40), method=method, seed=0)
    assert rows == problems


@pytest.mark.parametrize("method", ["t", "bca", "percentile"])
def test_problems_with_equally_many_rows_are_resampled_like_their_means(method):
    rng = np.random.default_rng(8)
    values = rng.exponential(size=(40, 5)) + rng.normal(size=(40, 1))
    names = [f"p{problem:02d}" for problem in range(40) for _ in range(5)]
    rows = bootstrap_mean(values.ravel(), clusters=names, method=method, seed=0)
    means = bootstrap_mean(values.mean(axis=1), method=method, seed=0)
    assert rows.n == means.n == 40
    assert (rows.value, rows.low, rows.high) == pytest.approx((means.value, means.low, means.high))


def test_the_difference_is_the_mean_of_the_differences():
    a, b = np.random.default_rng(9).normal(size=(2, 50))
    clusters = np.arange(50) // 2
    assert bootstrap_difference(a, b, clusters=clusters, seed=3) == bootstrap_mean(
        a - b, clusters=clusters, seed=3
    )
    same = bootstrap_difference(a, a, seed=0)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("method", ["t", "bca", "percentile"])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1.0, -3.3])
def test_equal_values_are_a_point(method, constant):
    for clusters in (None, np.arange(30) // 4):
        i = bootstrap_mean([constant] * 30, clusters=clusters, method=method, seed=0)
        assert (i.value, i.low, i.high) == (constant, constant, constant)


@pytest.mark.parametrize("method", ["t", "bca", "percentile"])
def test_the_interval_follows_a_change_of_unit(method):
    values = np.random.default_rng(10).exponential(size=50)
    plain = bootstrap_mean(values, method=method, seed=0)
    moved = bootstrap_mean(3 * values + 2, method=method, seed=0)
    tiny = bootstrap_mean(1e-200 * values, method=method, seed=0)
    assert (moved.low, moved.high) == pytest.approx((3 * plain.low + 2, 3 * plain.high + 2))
    assert (tiny.low, tiny.high) == pytest.approx(
        (1e-200 * plain.low, 1e-200 * plain.high), rel=1e-9, abs=0
    )


@pytest.mark.parametrize("method", ["t", "bca", "percentile"])
def test_an_interval_does_not_depend_on_how_many_draws_are_held_at_once(method, monkeypatch):
    values = np.random.default_rng(11).exponential(size=50)
    whole = bootstrap_mean(values, method=method, seed=0)
    monkeypatch.setattr("elicit.stats._resampling._CHUNK_ENTRIES", 50 * 7)
    parts = bootstrap_mean(values, method=method, seed=0)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), rel=1e-9)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(12).exponential(size=50)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_tensors_lists_and_booleans_give_the_same_interval():
    answers = np.random.default_rng(13).random(40) < 0.4
    expected = bootstrap_mean(answers.astype(float), seed=0)
    tensor = torch.tensor(answers)
    for values in (answers, answers.tolist(), tensor, tensor.to(torch.bfloat16)):
        assert bootstrap_mean(values, seed=0) == expected
    assert bootstrap_mean(tensor.float().requires_grad_(), seed=0) == expected


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "values has 0 rows"),
        ([1.0], {}, "values has 1 rows, but at least 2 problems"),
        ([1.0, float("nan"), 2.0], {}, r"1 values of 3 that are NaN or infinite.*\[1\]"),
        ([1.0, float("inf")], {}, "NaN or infinite"),
        ([[1.0, 2.0], [3.0, 4.0]], {}, r"values has shape \(2, 2\)"),
        (["a", "b"], {}, "real numbers"),
        ([[1.0], [1.0, 2.0]], {}, "real numbers"),
        ([1.0, 2.0], {"clusters": [1, 2, 3]}, r"clusters has shape \(3,\) and values \(2,\)"),
        ([1.0, 2.0], {"clusters": [1, 1]}, "clusters names 1 problem for 2 rows"),
        ([1.0, 2.0], {"clusters": [1.0, float("nan")]}, "clusters holds NaN"),
        ([1.0, 2.0], {"level": 95.0}, "level is 95"),
        ([1.0, 2.0], {"n_resamples": 10}, "n_resamples is 10"),
        ([1.0, 2.0], {"method": "basic"}, "basic"),
    ],
)
def test_unusable_input_is_refused_with_what_is_wrong(values, options, message):
    # An unknown method may be caught by a type checker first, if one watches the package.
    with pytest.raises((ValueError, TypeError), match=message):
        bootstrap_mean(values, seed=0, **options)
    if "clusters" not in options:
        with pytest.raises(ValueError):
            bootstrap_difference(values, [1.0, 2.0, 3.0], seed=0)
