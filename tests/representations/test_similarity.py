"""Similarity from sums over tokens is that of n × n kernels, and organisms are what they are."""

import numpy as np
import pytest
import torch

from elicit.capture import CaptureError, CrossMoments
from elicit.representations import RepresentationError, similarity, stitch
from elicit.representations.geometry import NAMES, Alike, Fourth, rotation, squared_norms
from elicit.runs import Execution
from elicit.stats import Inference
from tests.representations.made import traces


def alike(x, y):
    moments = CrossMoments(x.shape[1], y.shape[1])
    for part_x, part_y in zip(x.split(17), y.split(17), strict=True):
        moments.update(part_x, part_y)
    xx, yy, xy = squared_norms(x, y, moments)
    return Alike(moments, Fourth(xx=xx, yy=yy, xy=xy))


def drawn(n=60, d=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64) + 3
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return x, x @ mix + 2 * torch.randn(n, d, generator=generator, dtype=torch.float64)


def unbiased_hsic(k, m):
    """Song et al. 2012, equation 5, as it is written there."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    ones = np.ones(n)
    middle = (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + middle - 2 / (n - 2) * (ones @ k @ m @ ones)) / (n * (n - 3))


def test_both_estimates_of_cka_are_those_of_whole_kernels():
    x, y = drawn()
    values = dict(zip(NAMES, alike(x, y).values.tolist(), strict=True))
    k, m = (x @ x.T).numpy(), (y @ y.T).numpy()
    centre = np.eye(60) - 1 / 60
    a, b = centre @ k @ centre, centre @ m @ centre
    plain = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
    assert values["cka"] == pytest.approx(plain, abs=1e-12)
    exact = unbiased_hsic(k, m) / np.sqrt(unbiased_hsic(k, k) * unbiased_hsic(m, m))
    assert values["cka_debiased"] == pytest.approx(exact, abs=1e-12)


def test_distances_are_those_of_the_vectors_and_of_scipy():
    from scipy.linalg import orthogonal_procrustes

    x, y = drawn()
    one = alike(x, y)
    values = dict(zip(NAMES, one.values.tolist(), strict=True))
    a, b = x - x.mean(0), y - y.mean(0)
    unit = float(a.square().sum() + b.square().sum()) / 2
    turn, _ = orthogonal_procrustes(a.numpy(), b.numpy())
    torch.testing.assert_close(rotation(one.moments), torch.from_numpy(turn))
    aligned = float((a @ torch.from_numpy(turn) - b).square().sum())
    assert values["procrustes"] == pytest.approx(aligned / unit)
    assert values["distance"] == pytest.approx(float((x - y).square().sum()) / unit)
    assert values["distance_centred"] == pytest.approx(float((a - b).square().sum()) / unit)
    total = values["distance_centred"] + values["mean_shift"] ** 2
    assert values["distance"] == pytest.approx(total)


def test_a_tokens_part_is_what_the_measure_loses_without_it():
    x, y = drawn(n=400)
    one = alike(x, y)
    parts = one.parts(x, y)
    parts = parts - parts.mean(dim=0)
    for token in (0, 111, 399):
        kept = torch.arange(400) != token
        lost = one.values - alike(x[kept], y[kept]).values
        torch.testing.assert_close(parts[token], lost, atol=1e-4, rtol=0.1)


@pytest.mark.slow
def test_intervals_of_a_measure_cover_it_as_often_as_they_say():
    """Truth from 20 000 tokens; 100 samples of 60 problems with two tokens each."""
    from elicit.stats import joint_estimate

    x, y = drawn(n=20_000, d=3, seed=1)
    truth = alike(x, y).values
    # Plain CKA and the distance after alignment are biased at few tokens.
    unbiased = ("cka_debiased", "distance")
    hits = torch.zeros(len(NAMES))
    generator = torch.Generator().manual_seed(2)
    for trial in range(100):
        some = torch.randint(20_000, (120,), generator=generator)
        one = alike(x[some], y[some])
        parts = one.parts(x[some], y[some]).reshape(60, 2, -1).sum(1)
        told = one.values + 60 * (parts - parts.mean(0))
        for k in map(NAMES.index, unbiased):
            ends = joint_estimate(
                told[:, k : k + 1], inference=Inference(level=0.9, n_resamples=100, seed=trial)
            )
            hits[k] += bool(ends.low[0] <= truth[k] <= ends.high[0])
    for name in unbiased:
        assert 0.82 < float(hits[NAMES.index(name)]) / 100 < 0.97, name


def test_a_model_and_itself_are_the_same(organism):
    pair = organism("identity")
    found = similarity(pair, traces(pair, n=12), inference=Inference(n_resamples=100))
    torch.testing.assert_close(found.of("cka").value, torch.ones(7).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(
        found.of("cka_debiased").value, torch.ones(7).double(), atol=1e-12, rtol=0
    )
    for name in ("procrustes", "distance", "distance_centred", "mean_shift"):
        assert found.of(name).value.abs().max() < 1e-12, name
    assert not found.of("distance").value.any() and not found.of("mean_shift").value.any()
    assert (found.null[:, 1].abs() < 0.15).all()
    assert found.null[:, 2:4].min() > 1.5


def test_a_rotated_model_is_the_same_but_for_its_basis(organism):
    pair = organism("rotated")
    found = similarity(pair, traces(pair, n=12), inference=Inference(n_resamples=100))
    assert (found.of("cka").value > 1 - 1e-9).all() and (
        found.of("cka_debiased").value > 1 - 1e-9
    ).all()
    assert (found.of("procrustes").value.abs() < 1e-6).all()
    assert (found.of("distance_centred").value > 1.5).all()


def test_a_planted_bias_is_a_mean_shift_from_its_layer_on(organism):
    pair = organism("bias-l3")
    found = similarity(pair, traces(pair, n=12), inference=Inference(n_resamples=100))
    assert found.site[4] == "resid_post.3"
    distance, centred = found.of("distance").value, found.of("distance_centred").value
    assert not distance[:4].any(), "nothing differs below the layer"
    assert (distance[4:] > 0.1).all() and (found.value.low[3, 4:] > 0).all()
    assert centred[4] < 1e-6, "at the layer the shift is all of it"
    assert (centred[5:] < distance[5:]).all()
    assert len(found.figure().data) == 7


def test_outliers_and_first_tokens_are_left_out_and_counted(organism, monkeypatch):
    from elicit.representations import paired_activations as paired

    pair = organism("when-l3")
    rows = traces(pair, n=6)
    plain = similarity(pair, rows, sites=["resid_post.4"], inference=Inference(n_resamples=100))
    assert plain.n_first == 6 and plain.n_outliers == 0
    assert plain.n_tokens == sum(map(len, rows)) - 6
    monkeypatch.setattr(paired, "OUTLIER", 1.2)
    fewer = similarity(pair, rows, sites=["resid_post.4"], inference=Inference(n_resamples=100))
    assert fewer.n_outliers > 0
    assert fewer.n_tokens == plain.n_tokens - fewer.n_outliers


def test_chunks_and_second_runs_change_rounding_alone(organism, monkeypatch):
    from elicit.representations import paired_activations as paired

    pair = organism("when-l3")
    rows = traces(pair, n=8)
    whole = similarity(pair, rows, sites=["resid_post.4"], inference=Inference(n_resamples=100))
    monkeypatch.setattr(paired, "_HOLD", 0)
    cut = similarity(
        pair,
        rows,
        sites=["resid_post.4"],
        inference=Inference(n_resamples=100),
        execution=Execution(max_tokens=100),
    )
    torch.testing.assert_close(whole.value.value, cut.value.value, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(whole.value.low, cut.value.low, atol=1e-6, rtol=1e-6)


def test_rows_that_cannot_be_compared_are_refused(organism):
    pair = organism("when-l3")
    rows = traces(pair, n=3)
    with pytest.raises(CaptureError, match="row 1"):
        similarity(pair, [rows[0], []])
    with pytest.raises(RepresentationError, match="3 rows and 2 problems"):
        similarity(pair, rows, problems=["a", "b"])
    with pytest.raises(RepresentationError, match="all 3 rows are of one problem"):
        similarity(pair, rows, problems=["a"] * 3)
    with pytest.raises(RepresentationError, match="none of the 2 rows has a token after its first"):
        similarity(pair, [[1], [1]])
    with pytest.raises(RepresentationError, match="do not vary at resid_pre.0 in base"):
        similarity(pair, [[1, 9, 9, 9]] * 4)
    with pytest.raises(RepresentationError, match="n_draws is 0"):
        similarity(pair, rows, n_draws=0)
    with pytest.raises(RepresentationError, match="2 rows .* fit_rows .* test_rows"):
        stitch(pair, traces(pair, n=6), traces(pair, n=2))
    with pytest.raises(RepresentationError, match="mlp_out.2"):
        stitch(pair, rows, rows, sites=["mlp_out.2"])
