"""Partial rank correlation against scipy and a planted confounder."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr

from elicit.stats import Inference, partial_spearman

HOW = Inference(n_resamples=300, seed=0)


def numbers(n: int = 60, seed: int = 0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(4, n)))


def test_with_nothing_given_it_is_scipy_s_rank_correlation():
    x, y, *_ = numbers()
    y = y.round() + x.round()  # ties
    found = partial_spearman(x, y, torch.arange(60), inference=HOW)
    assert found.value == pytest.approx(spearmanr(x, y).statistic)
    assert -1 < found.low < found.value < found.high < 1 and found.n == 60


def test_with_one_given_it_is_the_formula_and_with_two_that_of_residuals():
    x, y, z, w = numbers()
    x, y = x + z, y + z - w
    r = spearmanr(torch.stack([x, y, z]).T.numpy()).statistic
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    found = partial_spearman(x, y, torch.arange(60), given=z[None], inference=HOW)
    assert found.value == pytest.approx(expected)
    # The inverse of the correlation matrix of all ranks.
    inverse = np.linalg.inv(np.corrcoef([rankdata(c) for c in (x, y, z, w)]))
    both = partial_spearman(x, y, torch.arange(60), given=torch.stack([z, w]), inference=HOW)
    assert both.value == pytest.approx(-inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1]))


def test_a_planted_common_cause_is_taken_out_and_monotone_changes_do_not_matter():
    x, y, cause, _ = numbers(200)
    x, y = x + 2 * cause, y + 2 * cause
    problem = torch.arange(200)
    assert partial_spearman(x, y, problem, inference=HOW).low > 0.5
    held = partial_spearman(x, y, problem, given=cause[None], inference=HOW)
    assert held.low < 0 < held.high
    bent = partial_spearman(x.exp(), y**3, problem, given=cause[None].exp(), inference=HOW)
    assert bent.value == pytest.approx(held.value)


def test_copies_of_a_problem_s_rows_are_no_more_evidence():
    x, y, *_ = numbers(30)
    x = x + y
    once = partial_spearman(x, y, torch.arange(30), inference=HOW)
    copied = partial_spearman(x.repeat(4), y.repeat(4), torch.arange(30).repeat(4), inference=HOW)
    assert copied.value == pytest.approx(once.value)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.02)


def test_what_has_no_spread_has_no_interval_and_nan_is_refused():
    x, y, *_ = numbers(20)
    perfect = partial_spearman(x, 2 * x, torch.arange(20), inference=HOW)
    assert perfect.value == 1 and np.isnan(perfect.low)
    explained = partial_spearman(x, y, torch.arange(20), given=x[None], inference=HOW)
    assert np.isnan(explained.value)
    with pytest.raises(ValueError, match="1 values are NaN"):
        partial_spearman(x, torch.where(y == y[0], torch.nan, y), torch.arange(20))


def test_the_interval_is_about_that_of_bonett_and_wright():
    x, y, *_ = numbers(400, seed=2)
    y = y + 1.5 * x
    found = partial_spearman(x, y, torch.arange(400), inference=Inference(n_resamples=2000))
    error = np.sqrt((1 + found.value**2 / 2) / 397)
    ends = np.tanh(np.arctanh(found.value) + np.array([-1.96, 1.96]) * error)
    assert [found.low, found.high] == pytest.approx(ends, abs=0.012)
