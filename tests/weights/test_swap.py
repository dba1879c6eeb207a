"""Grafts are exact, cost no copy, and undo themselves."""

import pytest
import torch

from elicit.capture import full_logits
from elicit.pair import weights_digest
from elicit.weights import all_parts, grafted, interpolated, part, reverted, slots_of
from tests import checkpoints


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    ids = torch.randint(4, 60, (3, 9), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    return ids, mask, (mask.cumsum(-1) - 1).clamp(min=0)


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
@torch.no_grad()
def test_everything_grafted_is_post_and_everything_reverted_is_base_bit_for_bit(
    paired, architecture
):
    pair = paired(architecture)
    everything = all_parts(pair)["all"]
    base, post = full_logits(pair.base, *batch()), full_logits(pair.post, *batch())
    assert not torch.equal(base, post)
    with grafted(pair, everything) as model:
        assert torch.equal(full_logits(model, *batch()), post)
    with reverted(pair, everything) as model:
        assert torch.equal(full_logits(model, *batch()), base)
    assert torch.equal(full_logits(pair.base, *batch()), base)
    assert torch.equal(full_logits(pair.post, *batch()), post)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "phi3", "gpt_neox"])
@torch.no_grad()
def test_a_grafted_matrix_is_that_matrix_in_plain_hugging_face(paired, written, architecture):
    from transformers import AutoModelForCausalLM

    pair = paired(architecture)
    plain = AutoModelForCausalLM.from_pretrained(
        pair.base_name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    other = AutoModelForCausalLM.from_pretrained(
        pair.post_name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    name = next(n for n, _ in plain.named_parameters() if n.endswith(("o_proj.weight",)) or (
        ".0." in n and n.endswith(("attn.c_proj.weight", "attention.dense.weight"))))  # fmt: skip
    layer = int(name.split(".")[2])
    dict(plain.named_parameters())[name].copy_(dict(other.named_parameters())[name])
    bias = name.replace("weight", "bias")
    if bias in dict(plain.named_parameters()):
        dict(plain.named_parameters())[bias].copy_(dict(other.named_parameters())[bias])
    ids, mask, positions = batch()
    expected = plain(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    with grafted(pair, part(pair, f"L{layer}.o")) as model:
        found = full_logits(model, ids, mask, positions)
    assert torch.allclose(found[mask.bool()], expected[mask.bool()], atol=1e-5)


@torch.no_grad()
def test_weights_have_their_digests_after_a_graft_also_after_an_exception(paired):
    pair = paired("llama")
    before = weights_digest(pair.base), weights_digest(pair.post)
    pointers = {name: slot.base.data_ptr() for name, slot in slots_of(pair).items()}
    with pytest.raises(RuntimeError, match="stop"), grafted(pair, part(pair, "L0")):
        assert weights_digest(pair.base) != before[0]
        raise RuntimeError("stop")
    assert (weights_digest(pair.base), weights_digest(pair.post)) == before
    assert {name: slot.base.data_ptr() for name, slot in slots_of(pair).items()} == pointers


@torch.no_grad()
def test_a_graft_copies_nothing(paired):
    pair = paired("llama")
    slots = slots_of(pair)
    layer = part(pair, "L1")
    with grafted(pair, layer):
        for name in layer.slots:
            assert slots[name].base.data_ptr() == slots[name].post.data_ptr()


@torch.no_grad()
def test_the_ends_of_the_line_are_the_models_themselves(paired):
    pair = paired("qwen2")
    everything = all_parts(pair)["all"]
    for alpha, model in ((0.0, pair.base), (1.0, pair.post)):
        expected = full_logits(model, *batch())
        with interpolated(pair, everything, alpha) as moved:
            assert torch.equal(full_logits(moved, *batch()), expected)


@torch.no_grad()
def test_halfway_is_the_mean_of_the_weights(paired):
    pair = paired("llama")
    slot = slots_of(pair)["model.layers.1.mlp.up_proj.weight"]
    mean = (slot.base + slot.post) / 2
    with interpolated(pair, part(pair, "L1.up"), 0.5):
        assert torch.allclose(slot.base, mean, atol=1e-7)


@torch.no_grad()
def test_generation_and_bridge_see_a_graft_alike(paired):
    pair = paired("gpt2")
    ids, mask, positions = batch()
    with grafted(pair, part(pair, "L1")) as model:
        direct = model.original_model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
        ).logits
        through = model(ids, attention_mask=mask, use_cache=False)
    real = mask.bool()
    assert torch.allclose(direct[real], through[real], atol=1e-5)
