"""Patching activations between the embedded pairs finds what was planted, and only that."""

import pytest
import torch

from elicit import organisms, patching
from elicit.organisms import decision, replace_start
from elicit.patching import Contrast
from elicit.patching._cells import sweep
from elicit.stats import Inference
from elicit.tasks import load_task

WHEN = {"when-l3": 3, "b-when-l5": 5, "bias-l3": 3, "lora-l4": 4}
"""Pairs whose post only learned when to reason, and the one layer that was trained."""
DAMAGED = {"shuffled-l1": 1, "shuffled-l3": 3}
"""Pairs whose post lost facts in one layer."""
DIRECTIONS = ("post_to_base", "base_to_post")


def decisions(pair, name, n=30):
    task = load_task(organisms.resolve(f"organism:{name}").problems).subset(n, seed=0)
    return Contrast.from_pairs(pair.alignment, decision(task))


@pytest.mark.slow
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", WHEN)
def test_the_decision_to_reason_enters_at_the_planted_layer_and_the_decision_token(
    organism, name, direction
):
    pair, layer = organism(name), WHEN[name]
    grid = patching.patch(
        pair,
        decisions(pair, name),
        patching.across(direction, sites=["resid_post"]),
        inference=Inference(n_resamples=500),
    )
    peak = grid.peak()
    assert grid.peak_layer == layer == peak.layer
    assert peak.pos == "-1 A"
    assert peak.clear
    below = grid.effect.value[0, 0, :layer]
    assert not below.any(), "nothing below the changed layer differs between the two"
    above = grid.share.value[0, 0, layer:]
    assert (above[:, -1] > 0.7).all()
    assert (above[:, :-1].abs() < 0.1).all()
    noise = grid.noise.value[0, layer:, -1].abs()
    assert (noise < 0.5 * grid.effect.value[0, 0, layer:, -1].abs()).all()


@pytest.mark.slow
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", WHEN)
def test_the_mode_of_every_problem_flips_there_and_nowhere_else(organism, name, direction):
    pair, layer, contrast = organism(name), WHEN[name], decisions(organism(name), name)
    plan = patching.prepare(
        pair, contrast, patching.across(direction, sites=["resid_post"]), controls=()
    )
    values = sweep(plan)
    differ = (values.host[0] > 0) != (values.donor[0] > 0)
    assert differ.sum() >= 20
    flipped = ((values.patched[0, 0] > 0) != (values.host[0] > 0))[..., differ]
    expected = torch.zeros_like(flipped)
    expected[layer:, -1] = True
    assert torch.equal(flipped, expected)


@pytest.mark.slow
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", DAMAGED)
def test_lost_facts_enter_at_the_planted_layer_and_at_the_entity(organism, name, direction):
    pair, layer = organism(name), DAMAGED[name]
    facts = load_task(organisms.resolve(f"organism:{name}").facts).subset(60, seed=0)
    contrast = Contrast.from_task(pair.alignment, facts)
    whole = patching.patch(
        pair,
        contrast,
        patching.across(direction, sites=["resid_post"], positions="all"),
        controls=(),
        inference=Inference(n_resamples=500),
    )
    assert whole.peak_layer == layer
    share = whole.share.value[0, 0, :, 0]
    assert not share[:layer].any()
    torch.testing.assert_close(share[layer:], torch.ones_like(share[layer:]), atol=1e-4, rtol=0)
    each = patching.patch(
        pair,
        contrast,
        patching.across(direction, sites=["resid_post"]),
        controls=(),
        inference=Inference(n_resamples=500),
    )
    entity = each.pos.index("5")  # `Q the city of E ? A answer`, after <bos>
    assert each.peak().layer == layer
    assert int(each.effect.value[0, 0, layer].abs().argmax()) == entity


@pytest.mark.slow
def test_a_changed_layer_is_a_reader_below_its_output_and_a_writer_above(organism):
    pair = organism("when-l3")
    found = patching.factorial(
        pair, decisions(pair, "when-l3"), inference=Inference(n_resamples=500)
    )
    gap = found.gap.value[0, 0]
    for boundary in range(pair.n_layers + 1):
        wrote = boundary > 3
        torch.testing.assert_close(found.wrote[boundary, 0], gap * wrote, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            found.reader[boundary, 0], gap * (not wrote), atol=1e-5, rtol=1e-5
        )
    assert not found.interaction.any()
    assert not found.unembedding.any()
    assert (found.off_manifold < 1e-6).all()


@pytest.mark.slow
def test_no_single_layer_carries_what_all_layers_learned(organism):
    """Full-weight RL spreads its change evenly: there is no step to find, and none is told."""
    pair = organism("rl")
    grid = patching.patch(
        pair,
        decisions(pair, "rl"),
        patching.across(sites=["resid_post"], positions="last"),
        inference=Inference(n_resamples=500),
    )
    steps = grid.step.value[0, :, 0] / grid.gap.value[0]
    # The embedding changed as well, so that the first layer's own step is not known.
    assert steps[0].isnan()
    assert steps[1:].max() < 0.5
    assert grid.share.value[0, 0, -1, 0] > 0.8


@pytest.mark.slow
def test_a_copied_digit_travels_from_where_it_stands_to_where_it_is_read(organism):
    """Symmetric token replacement: the only place that differs is the only one that matters."""
    pair = organism("when-l3")
    contrast = Contrast.from_pairs(pair.alignment, replace_start(n=30, n_steps=2, seed=0))
    grid = patching.patch(
        pair, contrast, patching.within(sites=["resid_pre"]), inference=Inference(n_resamples=500)
    )
    differs = [
        i
        for i in range(len(contrast.clean[0]))
        if any(a[i] != b[i] for a, b in zip(contrast.clean, contrast.corrupted, strict=True))
    ]
    assert len(differs) == 1
    first = grid.share.value[0, 0, 0]
    assert first[differs[0]] == pytest.approx(1.0, abs=1e-5)
    assert not grid.effect.value[0, 0, 0, : differs[0]].any()
    last = grid.share.value[0, 0, pair.n_layers - 1]
    assert int(last.argmax()) == len(last) - 1
    assert last[-1] > 0.9


def test_a_model_and_itself_are_refused_both_ways(organism):
    pair = organism("identity")
    contrast = decisions(pair, "identity", n=4)
    for direction in DIRECTIONS:
        with pytest.raises(patching.PatchError, match="same weights"):
            patching.patch(pair, contrast, patching.across(direction))
    with pytest.raises(patching.PatchError, match="same weights"):
        patching.factorial(pair, contrast)


@pytest.mark.slow
def test_equal_models_under_other_digests_have_no_effect_at_all(organism):
    """What `across` would measure on a copy: every effect exactly 0, and no peak."""
    from dataclasses import replace

    pair = replace(organism("identity"), identical=False)
    contrast = decisions(pair, "identity", n=6)
    grid = patching.patch(
        pair,
        contrast,
        patching.across(sites=["resid_pre", "z.heads", "mlp_out"]),
        controls=("noise",),
    )
    for zero in (grid.effect.value, grid.effect.low, grid.effect.high, grid.noise.value):
        assert not zero.any()
    assert not grid.gap.value.any()
    assert (grid.p == 1).all()
    assert grid.peak() is None
    found = patching.factorial(pair, contrast)
    assert not found.effect.value.any() and not found.off_manifold.any()
