"""One place for means over problems: each with the interval that fits it."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from elicit.stats import (
    Inference,
    bootstrap_mean,
    joint_estimate,
    joint_intervals,
    linearised_auroc,
    linearised_mean,
    linearised_ratio,
    mean_by_problem,
    paired_difference,
    problem_mean,
    problem_numbers,
    unpaired_difference,
    wilson,
)

HOW = Inference(n_resamples=200, seed=3)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_proportion_has_wilson_s_interval_and_another_mean_the_bootstrap_s():
    values = torch.tensor([1.0, 1.0, 1.0, 1.0])
    alone = problem_mean(values, inference=HOW, proportion=True)
    assert (alone.low, alone.high) == (wilson(4, 4).low, 1.0)
    assert problem_mean(values, inference=HOW).low == 1.0
    mean = problem_mean(drawn(20), inference=HOW, method="bca")
    same = bootstrap_mean(drawn(20).numpy(), n_resamples=200, method="bca", seed=3)
    assert (mean.value, mean.low, mean.high) == (same.value, same.low, same.high)


def test_problems_without_a_value_are_left_out_and_one_alone_has_no_interval():
    values = torch.tensor([torch.nan, 0.5, 2.5])
    assert problem_mean(values, inference=HOW).n == 2
    one = problem_mean(torch.tensor([torch.nan, 0.5]), inference=HOW)
    assert one.value == 0.5 and np.isnan(one.low) and np.isnan(one.high)
    assert np.isnan(problem_mean(torch.tensor([torch.nan]), inference=HOW).value)


def test_a_difference_that_never_varies_is_as_unsure_as_its_sides():
    ones, zeros = torch.ones(10), torch.zeros(10)
    found = paired_difference(ones, zeros, inference=HOW, proportion=True)
    below, above = wilson(10, 10), wilson(0, 10)
    assert found.value == 1.0
    assert found.low == pytest.approx(1 - np.hypot(1 - below.low, above.high))
    assert found.high == pytest.approx(1.0)
    shares = drawn(10).clamp(0.2, 1.0)
    varied = paired_difference(shares, zeros, inference=HOW, proportion=True)
    assert varied.low == problem_mean(shares, inference=HOW).low


def test_two_shares_differ_by_at_most_one():
    lost = torch.tensor([1.0] * 10 + [0.0] * 4)
    wide = problem_mean(-lost, inference=HOW)
    found = paired_difference(1 - lost, torch.ones(14), inference=HOW, proportion=True)
    assert wide.low < -1.0 == found.low and found.high == wide.high
    other = paired_difference(torch.ones(14), 1 - lost, inference=HOW, proportion=True)
    assert other.high == 1.0 and other.low > 0.0


def test_errors_of_different_problems_add_up_in_squares():
    a, b = wilson(8, 10), wilson(3, 12)
    found = unpaired_difference(a, b)
    assert found.value == pytest.approx(0.8 - 0.25)
    assert found.value - found.low == pytest.approx(np.hypot(0.8 - a.low, b.high - 0.25))


def test_joint_ends_are_those_of_all_parts_together_and_nan_parts_stay_out():
    values = drawn(30, 2, 3)
    values[:, 1, 2] = torch.nan
    found = joint_estimate(values, inference=HOW)
    known = torch.cat([values[:, 0], values[:, 1, :2]], dim=1).numpy()
    ends = joint_intervals(known, n_resamples=200, seed=3)
    # Parts are resampled one by one, so that none depends on the parts beside it.
    np.testing.assert_allclose(found.low[0].numpy(), ends[1, :3], rtol=1e-12)
    assert found.value[1, 2].isnan() and found.high[1, 2].isnan()
    assert joint_estimate(values[:1], inference=HOW).low.isnan().all()


def test_a_part_that_is_right_everywhere_is_not_certain():
    values = torch.stack([torch.ones(12), torch.arange(12.0) % 2], dim=1)
    found = joint_estimate(values, inference=HOW, proportion=True)
    assert found.low[0] == wilson(12, 12, level=0.975).low and found.high[0] == 1


def test_no_end_of_a_share_lies_below_0_or_above_1():
    rare = torch.tensor([0.0, 0, 0, 0, 0, 0, 0.1, 0.9], dtype=torch.float64)
    values = torch.stack([rare, 1 - rare], dim=1)
    free, found = (joint_estimate(values, inference=HOW, proportion=p) for p in (False, True))
    assert free.low[0] < 0 and free.high[1] > 1
    assert torch.equal(found.low, free.low.clamp(0, 1))
    assert torch.equal(found.high, free.high.clamp(0, 1))


def test_linearised_values_have_the_statistic_as_their_mean():
    problem = torch.tensor([0, 0, 0, 1, 2, 2])
    values, below = drawn(4, 6), drawn(6).abs() + 1
    torch.testing.assert_close(linearised_mean(values, problem).mean(0), values.mean(-1))
    ratio = linearised_ratio(values[0], below, problem)
    torch.testing.assert_close(ratio.mean(), values[0].sum() / below.sum())
    alone = torch.arange(6)
    assert torch.equal(linearised_mean(values, alone), values.T)


def test_the_spread_of_a_linearised_ratio_is_its_jackknife_error():
    # An independent oracle: leave one problem out at a time.
    n = 60
    problem, above = torch.arange(n).repeat_interleave(3), drawn(3 * n) + 5
    below = drawn(3 * n, seed=1) + 8
    parts = linearised_ratio(above, below, problem)
    error = float(parts.std() / n**0.5)
    left_out = torch.stack(
        [above[problem != i].sum() / below[problem != i].sum() for i in range(n)]
    )
    jackknife = float(((left_out - left_out.mean()).square().sum() * (n - 1) / n).sqrt())
    assert error == pytest.approx(jackknife, rel=0.05)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_the_mean_of_linearised_areas_is_the_area(n_labels):
    target = torch.arange(40) % n_labels
    scores = drawn(2, 40, n_labels) + torch.nn.functional.one_hot(target, n_labels)
    found = linearised_auroc(scores, target, torch.arange(40) // 2).mean(0)
    for part in range(2):
        if n_labels == 2:
            area = roc_auc_score(target, scores[part, :, 1] - scores[part, :, 0])
        else:
            area = np.mean([roc_auc_score(target == i, scores[part, :, i]) for i in range(3)])
        assert float(found[part]) == pytest.approx(area)


def test_problems_count_alike_however_many_rows_they_have():
    values = torch.tensor([1.0, 3.0, 10.0])
    means = mean_by_problem(values, problem_numbers(["a", "a", "b"]), 3)
    assert means[:2].tolist() == [2.0, 10.0] and means[2].isnan()
