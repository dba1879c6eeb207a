"""Sound models are not refused, and a key holds all that a value depends on."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from transformers import AutoModelForCausalLM, AutoTokenizer

from elicit.pair import Loading, PairError, load_pair
from elicit.rollouts import check_prompts
from elicit.tasks import Problem, Task
from tests import checkpoints

IDS = torch.tensor([[5, 9, 37, 30]])


def configured(source, to, **changes):
    shutil.copytree(source, to)
    file = to / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return to


def test_the_same_weights_with_another_rope_are_not_identical(tmp_path, llama):
    file = json.loads((llama / "config.json").read_text())
    rope = dict(file.get("rope_parameters") or {"rope_type": "default"}) | {"rope_theta": 100.0}
    pair = load_pair(llama, configured(llama, tmp_path / "p", rope_parameters=rope))
    assert not pair.identical
    assert pair.base_digest == pair.post_digest
    assert any("rope" in note for note in pair.notes)
    assert (pair.base(IDS, use_cache=False) - pair.post(IDS, use_cache=False)).abs().max() > 1e-3
    with pytest.raises(PairError):
        load_pair(llama, configured(llama, tmp_path / "same"))


def test_the_identity_of_a_pair_changes_with_each_thing_a_value_depends_on(
    tmp_path, llama, written
):
    post = written("llama", seed=2)
    one = load_pair(llama, post).identity
    assert one == load_pair(llama, post).identity
    slow = configured(post, tmp_path / "rms", rms_norm_eps=1e-3)
    changed = {
        "post": load_pair(llama, written("llama", seed=3)),
        "settings": load_pair(llama, slow),
        "text": load_pair(llama, post, loading=Loading(separator="")),
    }
    for name, pair in changed.items():
        assert {key for key in one if pair.identity[key] != one[key]} == {name}
    half = load_pair(llama, post, dtype=torch.bfloat16).identity
    assert {key for key in one if half[key] != one[key]} == {"base", "post", "runs"}
    kernel = load_pair(llama, post, loading=Loading(attn_implementation="sdpa"))
    assert kernel.identity["settings"] != one["settings"]
    assert {"torch", "transformers", "transformer_lens"} <= one.keys()


def renamed(written, **options):
    words = checkpoints.default_words()
    words[-2:] = ["<|box_start|>", "<|box_end|>"]
    other = [*words[:-2], "<think>", "</think>"]
    base = written("llama", seed=1, words=words, **options)
    return base, written("llama", seed=2, words=other, **options)


def test_renamed_special_tokens_need_a_map_and_a_true_one(tmp_path, written):
    base, post = (shutil.copytree(p, tmp_path / p.name) for p in renamed(written))
    for path, names in ((base, ("<|box_start|>", "<|box_end|>")), (post, ("<think>", "</think>"))):
        tokenizer = AutoTokenizer.from_pretrained(path)
        tokenizer.add_tokens([AddedToken(name, special=True) for name in names])
        tokenizer.save_pretrained(path)
    with pytest.raises(PairError) as caught:
        load_pair(base, post)
    assert "renamed_tokens" in str(caught.value)
    names = {"<|box_start|>": "<think>", "<|box_end|>": "</think>"}
    pair = load_pair(base, post, loading=Loading(renamed_tokens=names))
    assert sum("<think>" in note for note in pair.notes) == 1
    with pytest.raises(PairError, match="not one token"):
        load_pair(base, post, loading=Loading(renamed_tokens={"<|box_start|>": "</think>"}))


def test_an_ordinary_token_of_another_name_gets_no_advice_to_rename(written):
    with pytest.raises(PairError) as caught:
        load_pair(*renamed(written))
    assert "renamed_tokens" not in str(caught.value)


@pytest.mark.parametrize("adds", [True, False])
def test_a_pair_of_which_one_adds_bos_is_read_as_asked(written, adds):
    base, post = written("llama", seed=1, add_bos=False), written("llama", seed=2)
    with pytest.raises(PairError, match="adds_bos"):
        load_pair(base, post)
    pair = load_pair(base, post, loading=Loading(adds_bos=adds))
    assert (pair.alignment.plain("the cat")[0] == 1) is adds


def test_an_unknown_token_that_is_also_eos_is_no_unknown_word(tmp_path, llama, written):
    for name, source in (("base", llama), ("post", written("llama", seed=2))):
        shutil.copytree(source, tmp_path / name)
        tokenizer = checkpoints.tokenizer(
            chat_template="{% for m in messages %}{{ m['content'] }} </s> {% endfor %}"
        )
        tokenizer.backend_tokenizer.model.unk_token = "</s>"
        tokenizer.unk_token = "</s>"
        tokenizer.save_pretrained(tmp_path / name)
    pair = load_pair(tmp_path / "base", tmp_path / "post")
    task = Task(name="t", problems=(Problem(id="p", prompt="the cat is", answer="red"),))
    side = pair.side("base")
    assert check_prompts(side, task, templated=True)[0].count(2) == 1
    strange = Task(name="t", problems=(Problem(id="p", prompt="the zebra is", answer="red"),))
    for templated in (True, False):
        with pytest.raises(Exception, match="does not know"):
            check_prompts(side, strange, templated=templated)


def fp8(source, to):
    """A checkpoint in blocks of fp8 with scales, and its weights as ordinary numbers."""
    shutil.copytree(source, to)
    stored, true = {}, {}
    for name, value in load_file(to / "model.safetensors").items():
        if name.endswith("proj.weight"):
            scale = value.abs().max() / 448
            stored[name] = (value / scale).to(torch.float8_e4m3fn)
            stored[f"{name}_scale_inv"] = scale.reshape(1, 1).clone()
            true[name] = stored[name].float() * scale
        else:
            stored[name] = value.to(torch.bfloat16)
            true[name] = stored[name].float()
    save_file(stored, to / "model.safetensors", metadata={"format": "pt"})
    file = to / "config.json"
    quantised = {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "weight_block_size": [128, 128],
    }
    file.write_text(json.dumps(json.loads(file.read_text()) | {"quantization_config": quantised}))
    return true


def test_an_fp8_checkpoint_is_dequantised_to_the_precision_asked_for(tmp_path, llama, written):
    source = written("llama", seed=2)
    true = fp8(source, tmp_path / "fp8")
    expected = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    expected.load_state_dict(true)
    pair = load_pair(llama, tmp_path / "fp8")
    assert {p.dtype for p in pair.post.parameters()} == {torch.float32}
    with torch.no_grad():
        assert (pair.post(IDS, use_cache=False) - expected(IDS).logits).abs().max() < 1e-5
    assert any("fp8" in note for note in pair.notes)


def test_fp8_blocks_that_do_not_fill_a_weight_are_refused_by_name(tmp_path, llama, written):
    fp8(written("llama", seed=2), tmp_path / "fp8")
    tensors = load_file(tmp_path / "fp8" / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight_scale_inv"
    tensors[name] = torch.ones(2, 1)  # 64 rows are half a block of 128
    save_file(tensors, tmp_path / "fp8" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PairError, match=name):
        load_pair(llama, tmp_path / "fp8")


@pytest.mark.parametrize("kind", ["gptq", "awq", "bitsandbytes", "compressed-tensors"])
def test_a_kind_of_quantised_storage_that_cannot_be_read_is_named(tmp_path, llama, kind):
    post = configured(llama, tmp_path / "q", quantization_config={"quant_method": kind})
    with pytest.raises(PairError, match=kind):
        load_pair(llama, post)


def test_the_checkpoints_own_precision_and_device_may_be_asked_for(tmp_path, llama, written):
    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(llama, dtype=torch.bfloat16).save_pretrained(half)
    checkpoints.tokenizer().save_pretrained(half)
    other = tmp_path / "other"
    model = AutoModelForCausalLM.from_pretrained(written("llama", seed=2), dtype=torch.bfloat16)
    model.save_pretrained(other)
    pair = load_pair(half, other, dtype="auto", device="auto")
    assert pair.dtype == torch.bfloat16
    if not torch.cuda.is_available():
        assert pair.device == "cpu"
    assert load_pair(half, written("llama", seed=2), dtype="auto").dtype == torch.float32


def test_a_name_may_carry_its_revision(llama, written, monkeypatch):
    from elicit.pair import load

    asked = {}
    locate = load.locate

    def recorded(what, role, settings, *, revision, base=None):
        asked[role] = what, revision
        return locate(what, role, settings, revision=None, base=base)

    monkeypatch.setattr(load, "locate", recorded)
    post = written("llama", seed=2)
    load_pair(f"{llama}@main", post, loading=Loading(revision_post="v2"))
    assert asked == {"base": (str(llama), "main"), "post": (post, "v2")}
    with pytest.raises(PairError, match="Give one"):
        load_pair(f"{llama}@main", post, loading=Loading(revision_base="v2"))
    with pytest.raises(PairError, match="name@revision"):
        load_pair("gpt2@", post)
