"""A stitched model is the model itself where nothing differs, and breaks where everything does."""

import torch

from elicit.representations import stitch
from elicit.representations.linear_maps import MAPS
from elicit.stats import Inference
from tests.representations.made import traces

SITES = ["resid_post.2", "resid_post.4"]


def stitched(pair, **options):
    return stitch(
        pair,
        traces(pair, n=40, seed=1),
        traces(pair, n=10, seed=2, n_steps=2),
        sites=SITES,
        inference=Inference(n_resamples=100),
        **options,
    )


def of(found, field, name, end="value"):
    return getattr(getattr(found, field), end)[:, MAPS.index(name)]


def test_a_model_stitched_with_itself_is_itself(organism):
    found = stitched(organism("identity"))
    for name in ("identity", "shift"):
        assert not of(found, "fvu", name).any() and not of(found, "excess", name).any()
    for name in ("orthogonal", "affine"):
        assert (of(found, "fvu", name) < 1e-6).all()
        assert (of(found, "excess", name).abs() < 1e-3).all()
    assert torch.equal(found.own_ce.value, found.lower_ce)
    for name in ("mean", "random"):
        assert (of(found, "excess", name, "low") > 1).all(), "the controls carry nothing"
    assert (of(found, "fvu", "mean") - 1).abs().max() < 0.2
    assert len(found.figure().data) == 4 * len(MAPS)


def test_a_rotated_model_goes_on_from_the_other_through_a_rotation_alone(organism):
    found = stitched(organism("rotated"))
    for name in ("identity", "shift"):
        assert (of(found, "fvu", name) > 1.5).all() and (of(found, "excess", name, "low") > 1).all()
    for name in ("orthogonal", "affine"):
        assert (of(found, "fvu", name) < 1e-5).all()
        assert (of(found, "excess", name).abs() < 1e-3).all()


def test_a_planted_bias_is_undone_by_a_shift(organism):
    pair = organism("bias-l3")
    found = stitch(
        pair,
        traces(pair, n=40, seed=1),
        traces(pair, n=10, seed=2, n_steps=2),
        sites=["resid_post.2", "resid_post.3"],
        inference=Inference(n_resamples=100),
    )
    assert not of(found, "fvu", "identity")[:, 0].any()
    assert (of(found, "fvu", "identity")[:, 1] > 0.1).all()
    assert (of(found, "fvu", "shift") < 1e-6).all()
    assert (of(found, "excess", "shift").abs() < 1e-4).all()


def test_layers_below_a_change_are_the_others(organism):
    """Stitched below layer 3 with nothing between, the model is the one that reads on."""
    found = stitched(organism("when-l3"))
    assert not of(found, "fvu", "identity")[:, 0].any()
    assert not of(found, "excess", "identity")[:, 0].any()
    # Above it, base's stream under post's last layer is base up to there.
    assert (of(found, "fvu", "identity")[:, 1] > 0.05).all()
    for direction in range(2):
        by_freedom = found.fvu.value[direction, :4, 1]
        assert (by_freedom[1:] <= by_freedom[:-1] + 1e-3).all(), "freer maps explain more"
