"""Probes find what was planted, and their controls find nothing."""

import math

import pytest
import torch

from elicit.representations import (
    Labelled,
    fit_probe,
    online_code,
    probe,
    read_labelled,
    transfer,
)
from elicit.sites import resid_post
from elicit.stats import Inference
from tests.representations.made import headed


def test_a_model_and_itself_know_the_same_and_read_each_other(organism):
    pair = organism("identity")
    labelled = headed(pair, n=30)
    report = probe(
        pair, labelled, sites=["resid_post.1", "resid_post.3"], inference=Inference(n_resamples=200)
    )
    assert torch.equal(report.accuracy.value[0], report.accuracy.value[1])
    for end in ("value", "low", "high"):
        assert not getattr(report.difference, end).any()
    moved = transfer(
        pair, labelled, sites=["resid_post.1", "resid_post.3"], inference=Inference(n_resamples=200)
    )
    for way in range(4):
        assert torch.equal(moved.accuracy.value[:, way], moved.accuracy.value[:, 0]), moved.way[way]
        assert not moved.loss.low[:, way].any() and not moved.loss.high[:, way].any()


@pytest.fixture(scope="module")
def decision(organism):
    """Will the model write a trace? The base's own decision: `so` under notes, else `answer`."""
    pair = organism("when-l3")
    return pair, headed(pair)


def test_the_decision_is_decodable_in_both_models_and_controls_are_at_chance(decision):
    """The header reaches the decision token in the first layer of both, long before it is acted on.

    Linear decodability is therefore not what layer 3 was trained for, and the report must not say
    so: below layer 3 the two models are one, and in no layer does one clearly know more.
    """
    pair, labelled = decision
    report = probe(pair, labelled, inference=Inference(n_resamples=500))
    assert report.site[0] == "resid_pre.0"
    assert report.baseline == "majority" and report.n_types == 1
    for model in report.model:
        assert report.decodable(model) == report.site[1:]
    assert not report.difference.value[:4].any()
    assert (report.difference.low <= 0).all() and (report.difference.high >= 0).all()
    assert (report.accuracy.value[:, 1:] > 0.8).all()
    # At the embedding every example is the same token `A`.
    assert (report.auroc.value[:, 0] == 0.5).all() and (report.p[:, 0] == 1).all()
    assert (report.p[:, 1:] < 0.02).all()
    assert (report.shuffled.low <= 0.5).all() and (report.shuffled.high >= 0.5).all()
    assert report.control.value.isnan().all() and report.selectivity.value.isnan().all()
    assert len(report.figure().data) >= 4


@pytest.mark.slow
def test_the_decision_costs_least_nats_above_the_layer_where_it_is_made(decision):
    """Where accuracy is near 1 everywhere, the code still tells a clue from a decision."""
    pair, labelled = decision
    code = online_code(pair, labelled)
    real = code.compression[:, 0]
    assert torch.equal(real[0, :4], real[1, :4])
    assert (real[0, 1:5] < 2).all() and (real[0, 5:] > 4).all()
    assert code.uniform == pytest.approx(len(labelled) * math.log(2))
    assert code.block[-1] == len(labelled)
    # Noise is not compressed: labels are equally frequent, and a mixture costs at most log 7.
    noise = code.codelength[:, 2]
    assert (noise > code.uniform - 2).all() and (noise < code.uniform + math.log(7) + 2).all()
    assert code.figure().data


def test_digits_of_the_question_are_known_as_types_and_not_beyond(organism):
    """At a digit its own value is the token: perfect, never above the surface, with a control."""
    pair = organism("when-l3")
    base = headed(pair, n=40)
    labelled = Labelled.from_examples(
        [
            (row, 5, "low" if int(pair.alignment.decode([row[5]])) < 5 else "high", problem)
            for row, problem in zip(base.rows, base.problem, strict=True)
        ]
    )
    report = probe(
        pair, labelled, sites=["resid_pre.0", "resid_post.2"], inference=Inference(n_resamples=300)
    )
    assert report.n_types == 10
    assert report.baseline in ("token", "both")
    assert (report.accuracy.value[:, 0] == 1).all() and (report.accuracy.low[:, 0] < 1).all()
    assert (report.gain.value <= 0).all() and report.decodable("base") == report.decodable(
        "post"
    ) == ()
    assert (report.control.value[:, 0] > 0.9).all(), (
        "labels by type are learned as well as real ones"
    )
    assert (report.selectivity.value < 0.1).all()


@pytest.mark.slow(checked=True)
def test_a_rotated_model_is_read_only_when_aligned(organism):
    pair = organism("rotated")
    moved = transfer(
        pair,
        headed(pair),
        sites=["resid_post.2", "resid_post.5"],
        inference=Inference(n_resamples=300),
    )
    own, raw, shifted, aligned, random = moved.accuracy.value.unbind(1)
    torch.testing.assert_close(aligned, own)
    assert (own > 0.85).all()
    assert (raw < 0.75).all() and (shifted < 0.75).all()
    assert (random - 0.5).abs().max() < 0.15
    assert (moved.loss.low[:, 1] > 0).all() and not moved.loss.value[:, 3].any()
    assert len(moved.figure().data) == 10


@pytest.mark.slow(checked=True)
def test_a_shifted_model_is_read_once_the_shift_is_taken_off(organism):
    pair = organism("bias-l3")
    labelled, pad_id = headed(pair), pair.alignment.pad_id
    moved = transfer(
        pair, labelled, sites=["resid_post.2", "resid_post.3"], inference=Inference(n_resamples=300)
    )
    assert not moved.loss.value[:, 1, 0].any(), "below the planted layer nothing differs"
    assert not moved.loss.value[:, 2].any(), "and at it the mean shift is all of it"
    x, y = (
        read_labelled(model, labelled, sites=[resid_post(3)], pad_id=pad_id)
        for model in (pair.base, pair.post)
    )
    probe = fit_probe(x, labelled, sites=["resid_post.3"], l2=1e-3)
    own, raw = probe.scores(x)[..., 1], probe.scores(y)[..., 1]
    shifted = probe.scores(y - y.mean(1, keepdim=True) + x.mean(1, keepdim=True))[..., 1]
    assert (raw - own).abs().min() > 0.1 * own.std()
    torch.testing.assert_close(shifted, own, atol=1e-3, rtol=1e-3)


def test_the_same_seed_gives_the_same_bytes(organism, tmp_path):
    pair = organism("when-l3")
    labelled = headed(pair, n=12)
    for folder in ("one", "two"):
        found = probe(
            pair,
            labelled,
            sites=["resid_post.3"],
            inference=Inference(n_resamples=100),
            n_controls=1,
        )
        found.save(tmp_path / folder)
    for file in ("values.safetensors", "table.parquet", "result.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("kind", ["logistic", "ridge"])
def test_areas_are_those_of_scikit_learn(kind):
    from sklearn.metrics import roc_auc_score

    from elicit.stats import linearised_auroc

    generator = torch.Generator().manual_seed(0)
    target = torch.randint(3, (90,), generator=generator)
    scores = torch.randn(2, 90, 3, generator=generator, dtype=torch.float64).round(decimals=1)
    group = torch.arange(90) // 3
    table = linearised_auroc(scores, target, group)
    for part in range(2):
        each = [roc_auc_score((target == k).numpy(), scores[part, :, k].numpy()) for k in range(3)]
        assert float(table[:, part].mean()) == pytest.approx(sum(each) / 3)
