"""An adapter on a base is a post-trained model: merged soundly, refused where it does not fit."""

import json
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from elicit.pair import PairError, load_pair, parameter_groups
from elicit.pair._adapters import merge_adapter, open_adapter
from elicit.pair._parity import plain_logits
from elicit.pair._settings import Settings
from tests import checkpoints


def plain(path):
    return AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def opened(base, adapter):
    settings = Settings("cpu", torch.float32)
    return open_adapter(plain(base), str(adapter), settings, revision=None)[0]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, llama):
    return checkpoints.write_adapter(tmp_path_factory.mktemp("adapter"), llama)


def test_merged_equals_unmerged(llama, adapter):
    adapted = opened(llama, adapter)
    unmerged = plain_logits(adapted.get_base_model()).logits
    merged = plain_logits(merge_adapter(adapted, "it")).logits
    assert (merged - unmerged).abs().max() <= 1e-5
    assert (unmerged - plain_logits(plain(llama)).logits).abs().max() > 1e-2


def test_an_adapter_switched_off_is_the_base_bit_for_bit(llama, adapter):
    adapted = opened(llama, adapter)
    with adapted.disable_adapter():
        off = plain_logits(adapted.get_base_model()).logits
    assert torch.equal(off, plain_logits(plain(llama)).logits)


def test_a_pair_of_base_and_adapter_differs_exactly_in_its_targets(llama, adapter):
    pair = load_pair(llama, adapter)
    ours, theirs = parameter_groups(pair.base), parameter_groups(pair.post)
    changed = {n for n in ours if not torch.equal(ours[n].canonical, theirs[n].canonical)}
    assert changed == {n for n in ours if "q_proj" in n or "v_proj" in n}
    assert pair.post_name == str(adapter)


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_an_adapter_on_one_of_two_tied_matrices_leaves_the_other(tmp_path, written, target):
    tied = written("llama", seed=1, tied=True)
    folder = checkpoints.write_adapter(tmp_path / "adapter", tied, targets=[target])
    factors = load_file(folder / "adapter_model.safetensors")
    drawn = torch.Generator().manual_seed(0)
    for name, value in factors.items():
        if ".lora_" in name:
            factors[name] = 0.2 * torch.randn(value.shape, generator=drawn)
    save_file(factors, folder / "adapter_model.safetensors")
    pair = load_pair(tied, folder)
    ours, theirs = parameter_groups(pair.base), parameter_groups(pair.post)
    changed = {n for n in ours if not torch.equal(ours[n].canonical, theirs[n].canonical)}
    assert len(changed) == 1 and target in changed.pop()
    down, up = (factors[name] for name in sorted(factors) if ".lora_" in name)
    scaled = 2 * (up @ down)  # alpha 8 over rank 4
    net, embedding = plain(tied), plain(tied).get_input_embeddings().weight.detach()
    base = plain_logits(net).logits
    if target == "lm_head":
        net.lm_head.weight = torch.nn.Parameter(embedding + scaled)
    else:
        net.lm_head.weight = torch.nn.Parameter(embedding)
        net.model.embed_tokens.weight = torch.nn.Parameter(embedding + scaled.T.contiguous())
    ids = torch.tensor([[1, 5, 7, 9]])
    with torch.no_grad():
        assert torch.allclose(pair.post(ids, use_cache=False), net(ids).logits, atol=1e-4)
    assert torch.equal(plain_logits(pair.base.original_model).logits, base)
    assert any("unembedding of its own" in note for note in pair.notes)


def test_the_bridge_of_an_adapter_computes_what_peft_computes_unmerged(llama, adapter):
    pair = load_pair(llama, adapter)
    batch = pair.alignment.encode(["the cat is red", "a dog"])
    adapted = opened(llama, adapter)
    with torch.no_grad():
        inputs = {"attention_mask": batch.mask, "position_ids": batch.position_ids}
        expected = adapted.get_base_model()(input_ids=batch.ids, **inputs).logits
        found = pair.post(batch.ids, use_cache=False, **inputs)
    assert (found - expected)[batch.real].abs().max() <= 1e-5


def test_an_adapter_for_transposed_weights_is_merged_too(tmp_path, written):
    base = written("gpt2", seed=1)
    checkpoints.write_adapter(tmp_path, base, targets=["c_attn", "c_fc"])
    pair = load_pair(base, tmp_path)
    assert not pair.identical
    assert max(pair.parity or (1.0,)) <= 1e-4


def test_an_adapter_without_effect_is_refused_unless_allowed(tmp_path, llama):
    zero = checkpoints.write_adapter(tmp_path / "zero", llama, zero=True)
    with pytest.raises(PairError, match="changes no weight of"):
        load_pair(llama, zero)
    assert load_pair(llama, zero, allow_identical=True).identical


def test_an_adapter_for_modules_the_base_has_not_is_refused(tmp_path, llama, written):
    foreign = checkpoints.write_adapter(tmp_path, written("gpt2", seed=1), targets=["c_attn"])
    with pytest.raises(PairError, match=r"h\.\d\.attn\.c_attn, and base has no such weight"):
        load_pair(llama, foreign)


def test_an_adapter_for_another_width_is_refused_with_both(tmp_path, llama, written):
    wide = checkpoints.write_adapter(tmp_path, written("llama", seed=1, d_model=64))
    with pytest.raises(PairError, match=r"reads 64 numbers at .*base has 32"):
        load_pair(llama, wide)


def test_an_adapter_for_a_deeper_base_is_refused(tmp_path, llama, written):
    deep = checkpoints.write_adapter(tmp_path, written("llama", seed=1, n_layers=4))
    with pytest.raises(PairError, match=r"model\.layers\.3\."):
        load_pair(llama, deep)


def test_a_tensor_of_the_adapter_that_finds_no_place_is_refused(tmp_path, llama, adapter):
    part = tmp_path / "part"
    shutil.copytree(adapter, part)
    file = part / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"target_modules": ["q_proj"]}))
    with pytest.raises(PairError, match=r"v_proj.*unused_tensors='ignore'"):
        load_pair(llama, part)


def test_an_adapter_with_nan_is_refused(tmp_path, llama, adapter):
    spoilt = tmp_path / "spoilt"
    shutil.copytree(adapter, spoilt)
    weights = load_file(spoilt / "adapter_model.safetensors")
    next(iter(weights.values()))[0, 0] = float("nan")
    save_file(weights, spoilt / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PairError, match="cannot be merged"):
        load_pair(llama, spoilt)


def test_an_adapter_is_no_base(llama, adapter):
    with pytest.raises(PairError, match="an adapter and not a model"):
        load_pair(adapter, llama)


def test_an_adapter_of_prompts_is_refused(tmp_path, llama):
    from peft import PromptTuningConfig, get_peft_model

    settings = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT asks transformers for a deprecated name
        get_peft_model(plain(llama), settings).save_pretrained(tmp_path)
    with pytest.raises(PairError, match="adds inputs and not weights"):
        load_pair(llama, tmp_path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
def test_an_adapter_whose_kind_cannot_be_merged_is_refused(tmp_path, llama, adapter):
    folder = shutil.copytree(adapter, tmp_path / "activated")
    config = folder / "adapter_config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps(told | {"alora_invocation_tokens": [3]}))
    with pytest.raises(PairError, match="aLoRA") as refused:
        load_pair(llama, folder)
    assert "can be merged" in str(refused.value)


def test_an_adapter_does_not_change_a_bridge_in_hand(llama, adapter):
    pair = load_pair(llama, adapter)
    with pytest.raises(PairError, match="merging would change the weights"):
        load_pair(pair.base, adapter)


def test_an_adapter_may_bring_its_own_tokenizer(tmp_path, llama):
    checkpoints.write_adapter(tmp_path, llama)
    checkpoints.tokenizer(chat_template=checkpoints.CHAT_TEMPLATE).save_pretrained(tmp_path)
    assert load_pair(llama, tmp_path).alignment.template_owner == "post"


def test_an_adapter_for_a_base_of_another_name_is_noted(tmp_path, written, adapter):
    elsewhere = written("llama", seed=7)
    pair = load_pair(elsewhere, adapter)
    assert any("names" in note and str(elsewhere) in note for note in pair.notes)
