"""Parts: every parameter has one owner, and names mean what they say."""

from dataclasses import replace

import pytest
import torch

from elicit.weights import PartError, all_parts, changed_layers, part, parts_of, slots_of
from tests import checkpoints


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
def test_layers_and_outside_parts_own_every_tensor_once(paired, architecture):
    pair = paired(architecture)
    owned = [s for kind in ("layer", "outside") for p in parts_of(pair, kind) for s in p.slots]
    assert sorted(owned) == sorted(slots_of(pair))


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
def test_attention_and_mlp_make_up_a_layer(paired, architecture):
    pair = paired(architecture)
    known = all_parts(pair)
    for layer in range(pair.n_layers):
        halves = {*known[f"L{layer}.attn"].slots, *known[f"L{layer}.mlp"].slots}
        assert halves == set(known[f"L{layer}"].slots)


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
def test_matrices_and_norms_make_up_a_layer(paired, architecture):
    pair = paired(architecture)
    known = all_parts(pair)
    matrices = {"q", "k", "v", "o", "up", "down"}
    assert matrices <= {p.name.split(".")[1] for p in parts_of(pair, "matrix")}
    pieces = [s for p in parts_of(pair, "matrix") if p.layers == (0,) for s in p.slots]
    norms = known["L0.norms"].slots if "L0.norms" in known else ()
    assert sorted([*pieces, *norms]) == sorted(known["L0"].slots)


@pytest.mark.parametrize(
    ("architecture", "norm", "block"),
    [
        ("llama", "post_attention_layernorm.weight", "mlp"),  # feeds the MLP
        ("gemma2", "post_attention_layernorm.weight", "attn"),  # scales what attention wrote
        ("gemma2", "pre_feedforward_layernorm.weight", "mlp"),
        ("olmo2", "post_attention_layernorm.weight", "attn"),
        ("qwen3", "self_attn.q_norm.weight", "attn"),
        ("gpt2", "ln_1.weight", "attn"),
        ("gpt2", "ln_2.bias", "mlp"),
        ("gpt_neox", "post_attention_layernorm.weight", "mlp"),
    ],
)
def test_a_norm_belongs_to_what_reads_it(paired, architecture, norm, block):
    slots = slots_of(paired(architecture))
    own = [slot for name, slot in slots.items() if name.endswith(f"0.{norm}")]
    assert [slot.place.block for slot in own] == [block]


def test_tied_embeddings_are_one_part(paired):
    names = {p.name for p in parts_of(paired("gpt2"), "outside")}
    assert "embed" in names
    assert "unembed" not in names


def test_an_unknown_part_is_refused_with_close_names(paired):
    with pytest.raises(PartError, match=r"no part 'L1\.atn'.*L1\.attn"):
        part(paired("llama"), "L1.atn")


@pytest.mark.parametrize("name", ["L9", "L2-L1", "L0-L7", "", "L-1", "layer0"])
def test_a_part_outside_the_model_is_refused(paired, name):
    with pytest.raises(PartError, match="no part"):
        part(paired("llama"), name)


def test_an_interval_is_the_union_of_its_layers(paired):
    pair = paired("llama")
    known = all_parts(pair)
    assert part(pair, "L0-L1").slots == (*known["L0"].slots, *known["L1"].slots)
    assert set(part(pair, "L0+embed").slots) == {*known["L0"].slots, *known["embed"].slots}


def test_only_the_layer_that_differs_is_changed(organism):
    assert changed_layers(organism("shuffled-l3")) == (3,)
    assert changed_layers(organism("identity")) == ()


def test_a_tensor_outside_every_part_is_refused(paired):
    pair = paired("llama")
    hf_model = pair.base.original_model
    hf_model.register_parameter("strange", torch.nn.Parameter(torch.zeros(1)))
    try:
        with pytest.raises(PartError, match="strange"):
            slots_of(replace(pair))  # a pair that nobody has walked yet
    finally:
        del hf_model._parameters["strange"]
