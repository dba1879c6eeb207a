"""The geometry of a difference, against numpy and against what was planted."""

import math

import numpy as np
import pytest
import torch

from elicit.runs import Checkpoint, Execution, NoCheckpoint
from elicit.weights import changed_slots, geometry, slots_of, weight_change
from elicit.weights._spectra import spectrum


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
    found = spectrum(base, base + delta, delta, outside=False)
    assert np.isclose(found["stable_rank"], 3)
    assert np.isclose(found["entropy_rank"], 3, atol=1e-5)
    assert found["rank_90"] == 3


def test_a_loud_new_direction_is_an_intruder_and_a_small_change_is_not():
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(60, 60, generator=generator, dtype=torch.float64)
    new = torch.randn(60, 1, generator=generator, dtype=torch.float64)
    loud = 8 * new @ torch.randn(1, 60, generator=generator, dtype=torch.float64)
    assert spectrum(base, base + loud, loud, outside=False)["intruders"] >= 1
    quiet = 1e-4 * loud
    assert spectrum(base, base + quiet, quiet, outside=False)["intruders"] == 0


def test_a_pair_of_the_same_weights_has_no_change_at_all(organism):
    change = weight_change(organism("identity"))
    assert not change.relative_norm.any()
    assert bool((change.zero_share == 1).all())
    assert not change.rank_90.nan_to_num().any()


@pytest.mark.parametrize(
    ("architecture", "module", "tensor"),
    [
        ("gpt2", "transformer.h.0.mlp.c_fc", "transformer.h.0.mlp.c_fc.weight"),
        ("gpt2", "transformer.h.0.attn.c_proj", "transformer.h.0.attn.c_proj.weight"),  # square
        ("llama", "model.layers.1.mlp.gate_proj", "model.layers.1.mlp.gate_proj.weight"),
        ("llama", "model.layers.1.mlp.down_proj", "model.layers.1.mlp.down_proj.weight"),
    ],
)
def test_the_activation_norm_is_the_change_of_the_output(paired, architecture, module, tensor):
    pair = paired(architecture)
    texts = [
        pair.alignment.pad([[5, 6, 7, 8], [9, 10]], padding="right"),
        pair.alignment.pad([[11, 5, 7]], padding="right"),
    ]
    change = weight_change(pair, texts=texts, spectra=False)
    slot = slots_of(pair)[tensor]
    whole = difference = 0.0
    for text in texts:
        seen = []
        owner = pair.base.original_model.get_submodule(module)
        handle = owner.register_forward_pre_hook(lambda _m, args, seen=seen: seen.append(args[0]))
        with torch.no_grad():
            pair.base.original_model(input_ids=text.ids, attention_mask=text.mask)
        handle.remove()
        rows = seen[0][text.real].double()
        for sign in ("whole", "difference"):
            weight = (slot.base if sign == "whole" else slot.post - slot.base).detach().double()
            out = rows @ (weight if architecture == "gpt2" else weight.T)
            if sign == "whole":
                whole += out.square().sum().item()
            else:
                difference += out.square().sum().item()
    row = change.matrix.index(tensor)
    assert change.activation_norm[row].item() == pytest.approx((difference / whole) ** 0.5)


def test_only_tensors_that_differ_are_computed_with_and_base_is_run_to_the_last_of_them(
    organism, monkeypatch
):
    pair = organism("shuffled-l3")
    counted, calls = [], []
    plain = geometry.spectrum
    monkeypatch.setattr(
        geometry, "spectrum", lambda *a, **k: (counted.append(1), plain(*a, **k))[1]
    )
    texts = [pair.alignment.encode(["so it is"], padding="right")]
    handles = [
        block.register_forward_pre_hook(lambda *_, i=i: calls.append(i))
        for i, block in enumerate(pair.base.blocks)
    ]
    try:
        change = weight_change(pair, texts=texts)
    finally:
        for handle in handles:
            handle.remove()
    matrices = [slots_of(pair)[name] for name in changed_slots(pair)]
    assert len(counted) == sum(slot.base.ndim == 2 for slot in matrices) > 0
    assert calls == [0, 1, 2, 3]
    others = change.layer != 3
    for name in ("relative_norm", "activation_norm", "spectral_norm", "rank_90", "intruders"):
        assert not getattr(change, name)[others].nan_to_num().any(), name
    assert bool((change.activation_norm[change.layer == 3].nan_to_num() > 0).any())


def test_a_comparison_of_weights_goes_on_where_it_stopped(paired):
    class Kept:
        def __init__(self) -> None:
            self.values, self.computed = {}, 0

        def get_or_compute(self, key, compute):
            if key not in self.values:
                self.values[key] = compute()
                self.computed += 1
            return self.values[key]

    pair, kept = paired("llama"), Kept()
    assert isinstance(kept, Checkpoint)
    texts = [pair.alignment.pad([[5, 6, 7, 8]], padding="right")]
    first = weight_change(pair, texts=texts, execution=Execution(checkpoint=kept))
    computed = kept.computed
    again = weight_change(pair, texts=texts, execution=Execution(checkpoint=kept))
    plain = weight_change(pair, texts=texts, execution=Execution(checkpoint=NoCheckpoint()))
    assert computed == kept.computed >= pair.n_layers
    for name in ("relative_norm", "activation_norm", "entropy_rank", "intruders"):
        for other in (again, plain):
            assert torch.equal(
                getattr(first, name).nan_to_num(-1), getattr(other, name).nan_to_num(-1)
            )


def test_intruders_of_a_tall_matrix_are_those_of_its_singular_vectors():
    generator = torch.Generator().manual_seed(2)
    base = torch.randn(90, 30, generator=generator, dtype=torch.float64)
    loud = (
        9
        * torch.randn(90, 2, generator=generator, dtype=torch.float64)
        @ torch.randn(2, 30, generator=generator, dtype=torch.float64)
    )
    ours, theirs = (torch.linalg.svd(m, full_matrices=False)[0] for m in (base, base + loud))
    expected = int(((theirs[:, :10].T @ ours).abs().amax(dim=1) < 0.5).sum())
    assert spectrum(base, base + loud, loud, outside=False)["intruders"] == expected > 0
