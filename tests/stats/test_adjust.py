"""Adjusted p-values against tables and scipy."""

import numpy as np
import pytest
from scipy import stats as reference

from elicit.stats import benjamini_hochberg, holm


def test_holm_agrees_with_a_table_worked_by_hand():
    # Sorted 0.005 0.01 0.03 0.04, times 4 3 2 1: 0.02 0.03 0.06 0.04, running maximum.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    # Times 3 2 1: 0.9 0.8 0.7, running maximum; no p-value passes 1.
    np.testing.assert_allclose(holm([0.3, 0.4, 0.7]), [0.9, 0.9, 0.9])
    np.testing.assert_allclose(holm([0.5, 0.6]), [1.0, 1.0])
    np.testing.assert_allclose(holm([0.02]), [0.02])


def test_holm_rejects_what_the_step_down_rule_rejects():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.beta(0.3, 2, size=rng.integers(1, 12))
        rejected = np.zeros(len(p), dtype=bool)
        for step, test in enumerate(np.argsort(p)):
            if p[test] > 0.05 / (len(p) - step):
                break
            rejected[test] = True
        np.testing.assert_array_equal(holm(p) <= 0.05, rejected)


def test_benjamini_hochberg_agrees_with_scipy():
    rng = np.random.default_rng(1)
    for size in (1, 2, 5, 400):
        p = rng.beta(0.4, 1.5, size=size)
        np.testing.assert_allclose(
            benjamini_hochberg(p), reference.false_discovery_control(p, method="bh"), rtol=1e-12
        )
    ties = [0.02, 0.02, 1.0, 0.0, 0.0, 0.5]
    np.testing.assert_allclose(benjamini_hochberg(ties), reference.false_discovery_control(ties))


def test_adjusting_follows_the_tests_through_any_reordering():
    p = np.random.default_rng(2).random(30)
    order = np.random.default_rng(3).permutation(30)
    for adjust in (holm, benjamini_hochberg):
        np.testing.assert_array_equal(adjust(p[order]), adjust(p)[order])
        assert np.all(adjust(p) >= p)


def test_under_the_null_holm_and_bh_reject_anything_in_at_most_5_percent_of_families():
    """4,000 families: 5 % has a standard error of 0.34 %, three of which are granted."""
    families = np.random.default_rng(4).random((4000, 10))
    for adjust in (holm, benjamini_hochberg):
        false = np.mean([adjust(p).min() <= 0.05 for p in families])
        assert 0.04 < false < 0.05 + 3 * 0.0034


def test_benjamini_hochberg_keeps_the_share_of_false_discoveries():
    """Half of 20 tests are null, so BH at 10 % gives 5 %; 5,000 families, error below 0.2 %."""
    rng = np.random.default_rng(5)
    z = rng.normal(size=(5000, 20))
    z[:, 10:] += 3
    shares = []
    for p in reference.norm.sf(z):
        found = benjamini_hochberg(p) <= 0.1
        shares.append(found[:10].sum() / max(found.sum(), 1))
    assert 0.044 < np.mean(shares) < 0.056


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("p", [[0.1, 1.1], [-0.1], [float("nan"), 0.5]])
def test_what_is_no_p_value_is_named(adjust, p):
    with pytest.raises(ValueError, match=r"p holds .* no probability"):
        adjust(p)


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
@pytest.mark.parametrize("p", [[], [[0.1, 0.2]]])
def test_a_family_is_one_column(adjust, p):
    with pytest.raises(ValueError, match="p has shape"):
        adjust(p)
