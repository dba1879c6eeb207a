"""Every tensor in the files of a checkpoint or an adapter is read, or the pair is refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from elicit.pair import Loading, PairError, load_pair
from tests import checkpoints

IDS = torch.tensor([[5, 9, 37, 30]])
IGNORE = Loading(unused_tensors="ignore")


def configured(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


def stored(folder, change, file="model.safetensors"):
    """The folder after `change` of its tensors."""
    tensors = load_file(folder / file)
    change(tensors)
    save_file(tensors, folder / file, metadata={"format": "pt"})
    return folder


def copied(source, to):
    shutil.copytree(source, to)
    return to


def sharded(source, to):
    """The checkpoint in several files."""
    copied(source, to)
    (to / "model.safetensors").unlink()
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    model.save_pretrained(to, max_shard_size="12KB")
    assert len(list(to.glob("model-*-of-*.safetensors"))) > 2
    return to


def refused(base, post) -> str:
    with pytest.raises(PairError) as caught:
        load_pair(base, post)
    return str(caught.value)


def named(base, post, tensor) -> None:
    """Refused by the tensor's name, and loaded with a note on it where asked for."""
    assert tensor in refused(base, post)
    pair = load_pair(base, post, loading=IGNORE)
    assert any(tensor in note for note in pair.notes)


def test_layers_that_the_configuration_does_not_count_are_named(tmp_path, llama, written):
    deep = copied(written("llama", seed=2, n_layers=4), tmp_path / "deep")
    named(llama, configured(deep, num_hidden_layers=3), "model.layers.3.input_layernorm.weight")


def test_biases_that_the_configuration_does_not_read_are_named(tmp_path, llama, written):
    name = "model.layers.0.self_attn.q_proj.bias"
    post = copied(written("llama", seed=2), tmp_path / "biased")
    named(llama, stored(post, lambda t: t.update({name: torch.ones(32)})), name)


def test_a_value_head_is_named(tmp_path, llama, written):
    post = copied(written("llama", seed=2), tmp_path / "valued")
    named(llama, stored(post, lambda t: t.update(v_head=torch.ones(1, 32))), "v_head")


def test_a_tensor_of_one_shard_among_several_is_named(tmp_path, llama, written):
    post = sharded(written("llama", seed=2), tmp_path / "sharded")
    load_pair(llama, post)
    shard = sorted(post.glob("model-*"))[-1].name
    named(llama, stored(post, lambda t: t.update(extra=torch.ones(2)), shard), "extra")


def test_a_shard_that_the_index_does_not_list_is_named(tmp_path, llama, written):
    post = sharded(written("llama", seed=2), tmp_path / "sharded")
    save_file({"left.over": torch.ones(2)}, post / "model-00099-of-00099.safetensors")
    named(llama, post, "left.over")


def test_shards_beside_one_whole_file_are_named(tmp_path, llama, written):
    post = sharded(written("llama", seed=2), tmp_path / "both")
    shutil.copy(written("llama", seed=3) / "model.safetensors", post)
    named(llama, post, "lm_head.weight")


def test_a_tensor_in_two_shards_is_named(tmp_path, llama, written):
    post = sharded(written("llama", seed=2), tmp_path / "twice")
    shard = sorted(post.glob("model-*"))[-1].name
    stored(post, lambda t: t.update({"lm_head.weight": torch.ones(64, 32)}), shard)
    first = sorted(post.glob("model-*"))[0].name
    stored(post, lambda t: t.update({"lm_head.weight": torch.ones(64, 32)}), first)
    named(llama, post, "lm_head.weight")


def test_a_missing_tensor_is_named_and_cannot_be_ignored(tmp_path, llama, written):
    name = "model.layers.1.mlp.up_proj.weight"
    post = stored(copied(written("llama", seed=2), tmp_path / "hole"), lambda t: t.pop(name))
    assert name in refused(llama, post)
    with pytest.raises(PairError, match=name):
        load_pair(llama, post, loading=IGNORE)


def test_a_tensor_of_another_shape_is_refused_with_both(tmp_path, llama, written):
    name = "model.layers.1.mlp.up_proj.weight"
    post = copied(written("llama", seed=2), tmp_path / "other")
    message = refused(llama, stored(post, lambda t: t.update({name: torch.ones(3, 32)})))
    assert name in message
    assert "[3, 32]" in message
    assert "[64, 32]" in message


def test_pickled_weights_are_refused_by_file(tmp_path, llama, written):
    post = copied(written("llama", seed=2), tmp_path / "pickled")
    torch.save(load_file(post / "model.safetensors"), post / "pytorch_model.bin")
    (post / "model.safetensors").unlink()
    assert "pytorch_model.bin" in refused(llama, post)


def test_a_head_of_its_own_under_a_tied_configuration_is_read_and_noted(tmp_path):
    models = [checkpoints.random_model("llama", seed=seed, tied=False) for seed in (1, 2)]
    for name, model in zip(("base", "post"), models, strict=True):
        model.save_pretrained(tmp_path / name)
        checkpoints.tokenizer().save_pretrained(tmp_path / name)
        configured(tmp_path / name, tie_word_embeddings=True)
    pair = load_pair(tmp_path / "base", tmp_path / "post")
    with torch.no_grad():
        expected = models[1](IDS).logits
        assert torch.allclose(pair.post(IDS, use_cache=False), expected, atol=1e-5)
    assert sum("two different tensors" in note for note in pair.notes) == 2


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, llama):
    return checkpoints.write_adapter(tmp_path_factory.mktemp("adapter"), llama)


@pytest.mark.parametrize(
    "extra",
    [
        "base_model.model.lm_head.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.base_layer.bias",
        "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight",
        "base_model.model.score.weight",
    ],
)
def test_a_tensor_of_an_adapter_lands_or_is_named(tmp_path, llama, adapter, extra):
    size = (64, 32) if "lm_head" in extra else (4, 32) if "lora" in extra else (32,)
    value = torch.full(size, 0.5)
    post = copied(adapter, tmp_path / "more")
    stored(post, lambda t: t.update({extra: value}), "adapter_model.safetensors")
    if "lm_head" in extra:  # PEFT loads a whole module that it does not wrap into the base's
        pair = load_pair(llama, post)
        assert torch.equal(pair.post.original_model.lm_head.weight, value)
    else:
        named(llama, post, extra.removeprefix("base_model.model.").partition(".lora_")[0])


def test_a_tensor_that_an_adapter_lacks_is_named(tmp_path, llama, adapter):
    name = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"
    post = copied(adapter, tmp_path / "less")
    stored(post, lambda t: t.pop(name), "adapter_model.safetensors")
    assert "layers.1.self_attn.v_proj.lora_B" in refused(llama, post)


def test_a_module_to_save_that_the_file_lacks_is_refused(tmp_path, llama, adapter):
    post = copied(adapter, tmp_path / "unsaved")
    file = post / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"modules_to_save": ["lm_head"]}))
    assert "lm_head" in refused(llama, post)


def test_a_pickled_adapter_is_refused_by_file(tmp_path, llama, adapter):
    post = copied(adapter, tmp_path / "pickled")
    torch.save(load_file(post / "adapter_model.safetensors"), post / "adapter_model.bin")
    (post / "adapter_model.safetensors").unlink()
    assert "adapter_model.bin" in refused(llama, post)


def test_an_adapter_with_added_tokens_brings_its_rows(tmp_path, llama):
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
    model.resize_token_embeddings(66, mean_resizing=False)
    settings = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(model, settings)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
    adapted.save_pretrained(tmp_path, save_embedding_layers=True)
    assert "64" in refused(llama, tmp_path)
    pair = load_pair(llama, tmp_path, vocab="shared")
    with torch.no_grad():
        assert torch.allclose(pair.post(IDS, use_cache=False), adapted(IDS).logits, atol=1e-5)
