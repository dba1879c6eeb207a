"""Paired tests against scipy, full enumeration and the null."""

from itertools import product

import numpy as np
import pytest
from scipy import stats as reference

from elicit.stats import max_t, mcnemar, paired_permutation


def test_the_exact_permutation_test_agrees_with_scipy():
    rng = np.random.default_rng(0)
    for a, b in (
        (rng.normal(0.5, 1, 11), rng.normal(size=11)),
        (rng.integers(0, 2, 12), rng.integers(0, 2, 12)),  # many ties
        (rng.integers(0, 5, 8) / 10, rng.integers(0, 5, 8) / 10),  # ties parted by rounding
    ):
        ours = paired_permutation(a, b, seed=0)
        theirs = reference.permutation_test(
            (a, b),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=2**20,
        )
        assert ours.method == "sign-flip, exact"
        assert ours.p == pytest.approx(theirs.pvalue, abs=1e-12)
        assert ours.value == pytest.approx(np.mean(a) - np.mean(b))


def test_drawn_permutations_estimate_the_exact_p_value():
    """20,000 draws: p near 0.1 has a standard error of 0.2 %, three of which are granted."""
    values = np.random.default_rng(1).normal(0.4, 1, 15)
    exact = paired_permutation(values, np.zeros(15), n_resamples=2**15, seed=0)
    drawn = paired_permutation(values, np.zeros(15), n_resamples=20_000, seed=1)
    assert exact.method == "sign-flip, exact"
    assert drawn.method == "sign-flip, 20000 draws"
    assert 0.01 < exact.p < 0.3
    assert drawn.p == pytest.approx(exact.p, abs=3 * np.sqrt(exact.p * (1 - exact.p) / 20_000))


def test_a_drawn_p_value_counts_the_observed_data_and_is_never_0():
    a = np.linspace(1, 2, 60)
    assert paired_permutation(a, np.zeros(60), n_resamples=999, seed=0).p == 1 / 1000


def test_equal_columns_have_a_p_value_of_1():
    a = np.random.default_rng(2).normal(size=30)
    result = paired_permutation(a, a, n_resamples=200, seed=0)
    assert (result.value, result.p) == (0.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "answers", "heavy"])
def test_the_permutation_test_rejects_a_true_null_in_at_most_5_percent(kind, simulation):
    """2,000 data sets of 40: 5 % has a standard error of 0.49 %, three of which are granted."""
    rng, drawn = np.random.default_rng(3), simulation(2000)
    data = {
        "normal": lambda: rng.normal(size=(2000, 40)),
        "answers": lambda: rng.choice([-1.0, 0.0, 1.0], p=[0.2, 0.6, 0.2], size=(2000, 40)),
        "heavy": lambda: rng.standard_cauchy(size=(2000, 40)),
    }[kind]()
    p = [
        paired_permutation(values, np.zeros(40), n_resamples=199, seed=seed).p
        for seed, values in enumerate(data[: drawn.n])
    ]
    found = np.mean(np.array(p) <= 0.05)
    # Values as heavy as these have the larger of two p-values, and are found less often.
    assert not drawn.off_by(found, 0.05, 0.04 if kind == "heavy" else 0.02)
    assert found < 0.05 or not drawn.off_by(found, 0.05, 3 * 0.0049)


def test_max_t_agrees_with_full_enumeration_written_out():
    rng = np.random.default_rng(4)
    effects = rng.normal(size=(8, 4)) + np.array([0.0, 0.5, 1.0, 2.0])
    effects[:, 1] = np.round(effects[:, 1])

    def t(x):
        return np.abs(x.mean(axis=0)) / (x.std(axis=0, ddof=1) / np.sqrt(len(x)))

    reached = sum(
        t(effects * np.array(signs)[:, None]).max() >= t(effects) * (1 - 1e-9)
        for signs in product([1.0, -1.0], repeat=8)
    )
    np.testing.assert_allclose(max_t(effects, seed=0), reached / 2**8)


def test_max_t_of_one_part_is_the_permutation_test():
    values = np.random.default_rng(5).normal(0.2, 1, size=50)
    single = paired_permutation(values, np.zeros(50), n_resamples=999, seed=7)
    assert max_t(values[:, None], n_resamples=999, seed=7)[0] == single.p


def test_parts_of_exactly_0_have_p_1_and_change_no_other_part():
    effects = np.random.default_rng(6).normal(0.3, 1, size=(40, 3))
    alone = max_t(effects, n_resamples=999, seed=0)
    padded = max_t(np.insert(effects, [0, 2, 3], 0.0, axis=1), n_resamples=999, seed=0)
    np.testing.assert_array_equal(padded, [1, alone[0], alone[1], 1, alone[2], 1])


def test_max_t_does_not_depend_on_the_unit_of_a_part():
    effects = np.random.default_rng(7).normal(0.3, 1, size=(40, 3))
    scaled = effects * np.array([1e-200, 1.0, -1e200])
    np.testing.assert_array_equal(
        max_t(effects, n_resamples=999, seed=0), max_t(scaled, n_resamples=999, seed=0)
    )


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["normal", "answers"])
def test_max_t_finds_anything_under_the_null_in_at_most_5_percent(kind, correlation, simulation):
    """1,500 families of 12: 5 % has a standard error of 0.56 %, three of which are granted."""
    rng, drawn = np.random.default_rng(8), simulation(1500)
    false = []
    for seed in range(drawn.n):
        shared, own = rng.normal(size=(40, 1)), rng.normal(size=(40, 12))
        effects = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
        if kind == "answers":
            effects = 1.0 * (effects > 1.2) - 1.0 * (effects < -1.2)
        false.append(max_t(effects, n_resamples=199, seed=seed).min() <= 0.05)
    assert not drawn.off_by(np.mean(false), 0.05, 0.03)
    assert np.mean(false) < 0.05 or not drawn.off_by(np.mean(false), 0.05, 3 * 0.0056)


def test_mcnemar_agrees_with_scipy_for_every_table():
    for only_a in range(9):
        for only_b in range(9):
            a = np.array([1] * only_a + [0] * only_b + [1, 0, 0])
            b = np.array([0] * only_a + [1] * only_b + [1, 0, 0])
            ours = mcnemar(a, b)
            n = only_a + only_b
            theirs = reference.binomtest(only_a, n).pvalue if n else 1.0
            assert ours.p == pytest.approx(theirs, rel=1e-9)
            assert ours.value == pytest.approx(np.mean(a) - np.mean(b))


@pytest.mark.slow
def test_mcnemar_rejects_a_true_null_in_at_most_5_percent():
    """Exact: for each number of discordant problems, summed over how they may fall."""
    for n in range(1, 60):
        rejected = 0.0
        for only_a in range(n + 1):
            a = np.repeat([1, 0, 1], [only_a, n - only_a, 1])
            b = np.repeat([0, 1, 1], [only_a, n - only_a, 1])
            rejected += reference.binom.pmf(only_a, n, 0.5) * (mcnemar(a, b).p <= 0.05)
        assert rejected <= 0.05
        assert rejected > 0 or n < 6


def test_mcnemar_refuses_averages():
    with pytest.raises(ValueError, match=r"b holds 0\.5, .* paired_permutation"):
        mcnemar([0, 1], [0.5, 1])


def test_the_same_seed_gives_the_same_p_values_and_another_seed_others():
    effects = np.random.default_rng(9).normal(0.2, 1, size=(50, 4))
    first = max_t(effects, n_resamples=500, seed=3)
    assert first.tobytes() == max_t(effects, n_resamples=500, seed=3).tobytes()
    assert first.tobytes() != max_t(effects, n_resamples=500, seed=4).tobytes()


def test_unusable_columns_are_refused_with_what_is_wrong():
    with pytest.raises(ValueError, match="a has 3 rows and b has 2"):
        paired_permutation([1, 2, 3], [1, 2], seed=0)
    with pytest.raises(ValueError, match="a has 3 rows and b has 2"):
        mcnemar([1, 0, 1], [1, 0])
    with pytest.raises(ValueError, match=r"effects has shape \(3,\)"):
        max_t([1.0, 2.0, 3.0], seed=0)
    with pytest.raises(ValueError, match="n_resamples is 10"):
        max_t([[1.0], [2.0]], n_resamples=10, seed=0)
