"""The geometry of a difference, against numpy and against what was planted."""

import math

import numpy as np
import torch

from elicit.weights import slots_of, weight_change
from elicit.weights.geometry import _spectrum, second_moments


def test_norms_and_ranks_agree_with_numpy(paired):
    pair = paired("llama")
    change = weight_change(pair)
    row = change.matrix.index("model.layers.1.mlp.down_proj.weight")
    slot = slots_of(pair)[change.matrix[row]]
    base = slot.base.detach().double().numpy()
    delta = slot.post.detach().double().numpy() - base
    s = np.linalg.svd(delta, compute_uv=False)
    assert np.isclose(change.relative_norm[row], np.linalg.norm(delta) / np.linalg.norm(base))
    assert np.isclose(change.spectral_norm[row], s[0] / np.linalg.norm(base, 2))
    assert np.isclose(change.stable_rank[row], (s**2).sum() / s[0] ** 2)
    p = s / s.sum()
    assert np.isclose(change.entropy_rank[row], math.exp(-(p * np.log(p)).sum()))
    energy = np.cumsum(s**2) / (s**2).sum()
    assert change.rank_90[row] == np.searchsorted(energy, 0.9) + 1
    assert change.zero_share[row] == (delta == 0).mean()


def test_a_planted_low_rank_difference_shows_its_rank():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(40, 30, generator=generator, dtype=torch.float64)
    left, _ = torch.linalg.qr(torch.randn(40, 3, generator=generator, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(30, 3, generator=generator, dtype=torch.float64))
    delta = left @ right.T  # three equal singular values
    found = _spectrum(base, base + delta, delta, outside=False)
    assert np.isclose(found["stable_rank"], 3)
    assert np.isclose(found["entropy_rank"], 3, atol=1e-5)
    assert found["rank_90"] == 3


def test_a_loud_new_direction_is_an_intruder_and_a_small_change_is_not():
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(60, 60, generator=generator, dtype=torch.float64)
    new = torch.randn(60, 1, generator=generator, dtype=torch.float64)
    loud = 8 * new @ torch.randn(1, 60, generator=generator, dtype=torch.float64)
    assert _spectrum(base, base + loud, loud, outside=False)["intruders"] >= 1
    quiet = 1e-4 * loud
    assert _spectrum(base, base + quiet, quiet, outside=False)["intruders"] == 0


def test_a_pair_of_the_same_weights_has_no_change_at_all(organism):
    change = weight_change(organism("identity"))
    assert not change.relative_norm.any()
    assert bool((change.zero_share == 1).all())
    assert not change.rank_90.nan_to_num().any()


def test_second_moments_are_those_of_the_inputs(paired):
    pair = paired("llama")
    texts = [pair.alignment.pad([[5, 6, 7, 8], [9, 10]], padding="right")]
    moments = second_moments(pair, texts)
    seen = []
    module = pair.base.original_model.model.layers[1].mlp
    handle = module.register_forward_pre_hook(lambda _m, args: seen.append(args[0].detach()))
    with torch.no_grad():
        pair.base.original_model(input_ids=texts[0].ids, attention_mask=texts[0].mask)
    handle.remove()
    rows = seen[0][texts[0].real].double()
    expected = rows.T @ rows / len(rows)
    for name in ("gate_proj", "up_proj"):
        found = moments[f"model.layers.1.mlp.{name}.weight"]
        assert torch.allclose(found, expected, atol=1e-6)


def test_the_activation_norm_is_the_change_of_the_output(paired):
    pair = paired("gpt2")
    texts = [pair.alignment.pad([[5, 6, 7, 8, 9, 10, 11]], padding="right")]
    change = weight_change(pair, texts=texts, spectra=False)
    row = change.matrix.index("transformer.h.0.mlp.c_fc.weight")
    slot = slots_of(pair)[change.matrix[row]]
    moment = second_moments(pair, texts)[change.matrix[row]]
    base, delta = slot.base.detach().double(), (slot.post - slot.base).detach().double()
    expected = (torch.trace(delta.T @ moment @ delta) / torch.trace(base.T @ moment @ base)) ** 0.5
    assert torch.isclose(change.activation_norm[row], expected, atol=1e-9)
