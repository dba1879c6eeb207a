"""Calibration and discrimination against scikit-learn, enumeration, and worked examples."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from elicit import load_result
from elicit.stats import (
    Inference,
    calibration_difference,
    jackknifed,
    measure_calibration,
    measure_discrimination,
)
from elicit.stats._forecasts import (
    bin_variance,
    equal_mass,
    risk_at,
    selective_area,
    selective_risk,
)

HOW = Inference(n_resamples=200, seed=3)


def forecasts(n: int, per: int = 1, *, shift: float = 0.0, seed: int = 0):
    """Confidence, correctness and problem; right with the stated probability plus a shift."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.05, 0.9, (n, 1)) + rng.uniform(-0.05, 0.05, (n, per))
    y = rng.uniform(size=p.shape) < p + shift
    problem = np.arange(n).repeat(per)
    return torch.tensor(p.ravel()), torch.tensor(y.ravel()), torch.tensor(problem)


def test_brier_and_auroc_are_scikit_learn_s():
    p, y, problem = forecasts(40, 3)
    found = measure_calibration(p, y, problem, inference=HOW)
    assert float(found.brier.value) == pytest.approx(brier_score_loss(y, p))
    assert float(found.auroc.value) == pytest.approx(roc_auc_score(y, p))
    assert found.n_errors == int((~y).sum()) and found.n_answers == 120


@pytest.mark.slow(checked=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_brier_score_is_the_sum_of_its_parts(seed, n_bins, few_values):
    rng = np.random.default_rng(seed)
    p = rng.choice([0.1, 0.5, 0.9], 24) if few_values else rng.uniform(size=24)
    y = torch.tensor(rng.uniform(size=24) < 0.5)
    found = measure_calibration(
        torch.tensor(p), y, torch.arange(24), n_bins=n_bins, coverage=(1.0,), inference=HOW
    )
    parts = found.reliability.value - found.resolution.value + found.uncertainty.value
    assert float(found.brier.value - parts - found.within_bins.value) == pytest.approx(0, abs=1e-12)


def test_forecasts_that_are_one_number_in_each_bin_leave_nothing_within_bins():
    p = torch.tensor([0.2, 0.5, 0.9]).double().repeat_interleave(8)
    y = torch.tensor([1, 0, 0, 0, 0, 0, 0, 0] + [1, 0] * 4 + [1] * 7 + [0]).bool()
    found = measure_calibration(p, y, torch.arange(24), n_bins=3, inference=HOW)
    assert found.n_in_bin.tolist() == [8, 8, 8]
    assert found.accuracy.value.tolist() == [1 / 8, 1 / 2, 7 / 8]
    assert float(found.within_bins.value) == pytest.approx(0, abs=1e-12)
    assert float(found.reliability.value) == pytest.approx((0.075**2 + 0.025**2) / 3)
    # Equal-width bins are the same here: the plain error is the mean gap.
    assert float(found.ece.value) == pytest.approx((0.075 + 0 + 0.025) / 3)


def test_the_debiased_error_is_that_of_the_formula_with_one_answer_a_problem():
    p, y, problem = forecasts(60)
    found = measure_calibration(p, y, problem, n_bins=6, inference=HOW)
    order, total = p.numpy().argsort(), 0.0
    for rows in np.array_split(order, 6):
        share = y.numpy()[rows].mean()
        total += (p.numpy()[rows].mean() - share) ** 2 - share * (1 - share) / (len(rows) - 1)
    expected = np.sign(total) * np.sqrt(abs(total / 6))
    assert float(found.ece_debiased.value) == pytest.approx(expected)


def test_chance_in_a_bin_is_that_of_its_problems_and_not_of_its_rows():
    # Every problem's answers are copies: ten times the rows are no more evidence.
    y, problem = np.array([1.0, 0, 1, 1, 0, 1]), np.arange(6)
    alone = bin_variance(y, problem, np.zeros(6, dtype=int))
    share = y.mean()
    assert alone[0] == pytest.approx(share * (1 - share) / 5)
    copied = bin_variance(y.repeat(10), problem.repeat(10), np.zeros(60, dtype=int))
    assert copied[0] == pytest.approx(alone[0])


def test_the_debiased_square_is_right_on_average_and_the_plain_error_is_not():
    # Answers of a problem go together: the model knows it or not.
    rng = np.random.default_rng(0)
    squares, plain = [], []
    for _ in range(200):
        p = rng.uniform(0.2, 0.8, 40).repeat(4)
        y = (rng.uniform(size=40) < p[::4]).repeat(4)
        problem = np.arange(40).repeat(4)
        bins = equal_mass(p, problem, 5)
        size = np.bincount(bins)
        gap = np.bincount(bins, p - y) / size
        squares.append((size * (gap**2 - bin_variance(y * 1.0, problem, bins))).sum() / len(p))
        plain.append((size * gap**2).sum() / len(p))
    error = np.std(squares) / np.sqrt(len(squares))
    assert abs(np.mean(squares)) < 4 * error
    assert np.mean(plain) > 20 * error


def test_a_planted_miscalibration_is_found_and_its_absence_leaves_zero_inside():
    off = measure_calibration(*forecasts(150, 2, shift=-0.25), inference=HOW)
    assert float(off.ece_debiased.low) > 0.1
    assert float(off.ece_debiased.low) < 0.25 < float(off.ece_debiased.high)
    right = measure_calibration(*forecasts(150, 2), inference=HOW)
    assert float(right.ece_debiased.low) < 0 < float(right.ece_debiased.high)
    assert float(right.ece.value) > abs(float(right.ece_debiased.value))


def test_equal_confidence_shares_a_bin_and_every_bin_has_three_problems():
    p, problem = np.array([0.1] * 5 + [0.5] * 2 + [0.9] * 13), np.arange(20)
    assert equal_mass(p, problem, 10).tolist() == [0] * 7 + [1] * 13
    one_problem = np.array([0, 1, 2] + [3] * 9)
    bins = equal_mass(np.linspace(0, 1, 12), one_problem, 4)
    held = [len(np.unique(one_problem[bins == each])) for each in range(bins.max() + 1)]
    assert min(held) >= 3 and bins.tolist() == [0] * 12


def test_the_risk_curve_is_the_mean_over_all_orders_of_ties():
    confidence = np.array([0.9, 0.5, 0.5, 0.5, 0.2])
    error = np.array([0.0, 1, 0, 0, 1])
    curves = []
    for order in permutations(range(5)):
        if np.all(np.diff(confidence[list(order)]) <= 0):
            curves.append(np.cumsum(error[list(order)]) / np.arange(1, 6))
    np.testing.assert_allclose(selective_risk(confidence, error), np.mean(curves, axis=0))


def test_the_least_area_is_that_of_the_best_of_all_orders():
    error = np.array([0.0, 1, 0, 1, 1, 0])
    areas = [
        (np.cumsum(error[list(order)]) / np.arange(1, 7)).mean() for order in permutations(range(6))
    ]
    assert selective_area(np.linspace(0, 1, 6), error)[1] == pytest.approx(min(areas))
    best = measure_calibration(
        torch.tensor(1 - error) * 0.5, torch.tensor(error == 0), torch.arange(6), inference=HOW
    )
    assert float(best.excess_aurc.value) == pytest.approx(0, abs=1e-12)
    assert float(best.auroc.value) == 1 and 0 < float(best.auroc.low) < 1
    assert float(best.auroc.high) == 1


def test_keeping_all_answers_risks_the_error_rate_and_the_order_of_rows_is_irrelevant():
    p, y, problem = forecasts(30, 2)
    found = measure_calibration(p, y, problem, coverage=(0.5, 1.0), inference=HOW)
    assert float(found.risk.value[1]) == pytest.approx(1 - float(y.double().mean()))
    top = p.argsort(descending=True)[:30]
    assert float(found.risk.value[0]) == pytest.approx(1 - float(y[top].double().mean()))
    # Two and a half of five: half of the third error counts.
    part = risk_at(
        np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([0.0, 1, 1, 0, 0]), np.array([0.5])
    )
    assert part[0] == pytest.approx(1.5 / 2.5)
    mixed = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    again = measure_calibration(
        p[mixed], y[mixed], problem[mixed], coverage=(0.5, 1.0), inference=HOW
    )
    torch.testing.assert_close(found.by_problem, again.by_problem)


def test_what_problems_say_has_the_measure_as_its_mean_and_a_model_equals_itself():
    one = measure_calibration(*forecasts(30, 2), inference=HOW)
    means = dict(zip(one.measure, one.by_problem.mean(dim=0).tolist(), strict=True))
    for name in ("ece", "brier", "reliability", "resolution", "auroc", "aurc", "excess_aurc"):
        assert means[name] == pytest.approx(float(getattr(one, name).value)), name
    same = calibration_difference(one, one, inference=HOW)
    assert bool((same.value == 0).all()) and bool((same.low == 0).all())
    other = measure_calibration(*forecasts(30, 2, shift=-0.3, seed=1), inference=HOW)
    moved = calibration_difference(other, one, inference=HOW)
    brier = one.measure.index("brier")
    assert float(moved.value[brier]) == pytest.approx(
        float(other.brier.value) - float(one.brier.value)
    )
    with pytest.raises(ValueError, match="in one calibration only"):
        calibration_difference(one, measure_calibration(*forecasts(29, 2), inference=HOW))


def test_the_jackknife_of_a_mean_is_the_problems_means_and_knows_its_error():
    values = np.random.default_rng(0).normal(size=40)
    found = jackknifed(lambda kept: values[kept].mean(keepdims=True), torch.arange(40))
    np.testing.assert_allclose(found.by_problem[:, 0], values)
    undefined = jackknifed(
        lambda kept: np.array([np.nan if 0 not in kept else 1.0]), torch.arange(4)
    )
    ends = undefined.each(inference=HOW)
    assert float(ends.value) == 1 and bool(ends.low.isnan().all())
    assert float(undefined.together(inference=HOW).value) == 1


def test_a_calibration_opens_again_and_two_scores_of_one_text_keep_their_names(tmp_path):
    p, y, problem = forecasts(20, 2)
    found = measure_calibration(p, y, problem, inference=HOW)
    again = load_result(found.save(tmp_path / "calibration"))
    for axes, table in found.frames().items():
        assert table.equals(again.frames()[axes])
    ranked = measure_discrimination({"p": p, "-p": -p}, y, problem, inference=HOW)
    assert load_result(ranked.save(tmp_path / "ranked")).to_frame().equals(ranked.to_frame())
    assert float(ranked.auroc.value.sum()) == pytest.approx(1)


def test_without_errors_there_is_no_auroc_and_the_count_says_why():
    p, y, problem = forecasts(12)
    none = measure_discrimination({"p": p}, torch.ones_like(y), problem, inference=HOW)
    assert none.auroc.value.isnan().all() and none.auroc.low.isnan().all() and none.n_errors == 0
    allwrong = measure_calibration(p, torch.zeros_like(y), problem, inference=HOW)
    assert allwrong.auroc.value.isnan() and allwrong.n_errors == 12
    assert float(allwrong.uncertainty.value) == 0 and float(allwrong.aurc.value) == 1


def test_several_scores_stand_side_by_side_with_ties_counted_half():
    p, y, problem = forecasts(40, 2)
    length = torch.randint(1, 5, (80,), generator=torch.Generator().manual_seed(0))
    found = measure_discrimination({"p": p, "-length": -length.double()}, y, problem, inference=HOW)
    expected = [roc_auc_score(y, p), roc_auc_score(y, -length)]
    assert found.auroc.value.tolist() == pytest.approx(expected)
    constant = measure_discrimination({"c": torch.zeros(80)}, y, problem, inference=HOW)
    assert float(constant.auroc.value) == 0.5


def test_what_cannot_be_calibrated_is_refused():
    p, y, problem = forecasts(6)
    with pytest.raises(ValueError, match="discrimination"):
        measure_calibration(p * 20, y, problem)
    with pytest.raises(ValueError, match="n_bins is 0"):
        measure_calibration(p, y, problem, n_bins=0)
    with pytest.raises(ValueError, match="coverage holds 0"):
        measure_calibration(p, y, problem, coverage=(0.0,))
    with pytest.raises(ValueError, match="0 confidences"):
        measure_calibration(p[:0], y[:0], problem[:0])
    with pytest.raises(ValueError, match="1 of them NaN"):
        measure_discrimination({"p": torch.tensor([0.1, torch.nan])}, y[:2], problem[:2])
