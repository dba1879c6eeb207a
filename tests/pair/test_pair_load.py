"""Loading leaves the process as it was and takes every kind of model."""

import os

import pytest
import torch
import transformers
from transformer_lens.model_bridge import TransformerBridge

from elicit import organisms
from elicit.organisms import OrganismModel, OrganismPair
from elicit.pair import Encoded, Loading, PairError, load_pair, weights_digest
from tests import checkpoints


@pytest.fixture(scope="module")
def post(written):
    return written("llama", seed=2, chat_template=checkpoints.CHAT_TEMPLATE)


def logits(bridge, batch: Encoded):
    with torch.no_grad():
        return bridge(batch.ids, attention_mask=batch.mask, use_cache=False)


def test_installers_find_nothing_while_a_model_boots_and_all_is_restored(llama, post, monkeypatch):
    seen = []
    boot = TransformerBridge.boot_transformers

    def watched(*positional, **named):
        seen.append((os.environ.get("PIP_NO_INDEX"), os.environ.get("UV_OFFLINE")))
        return boot(*positional, **named)

    monkeypatch.setattr(TransformerBridge, "boot_transformers", watched)
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    monkeypatch.delenv("UV_OFFLINE", raising=False)
    before = dict(os.environ)
    load_pair(llama, post)
    assert seen == [("1", "1"), ("1", "1")]
    assert dict(os.environ) == before
    with pytest.raises(PairError):
        load_pair(llama, llama)
    assert dict(os.environ) == before


def test_loading_draws_nothing_from_the_global_generator(written):
    state = torch.get_rng_state()
    load_pair(written("gpt_neox", seed=1), written("gpt_neox", seed=2))
    assert torch.equal(torch.get_rng_state(), state)


def test_loading_twice_gives_the_same_numbers(llama, post):
    first, second = load_pair(llama, post), load_pair(llama, post)
    batch = first.alignment.encode(["the cat", "a dog is red"])
    assert torch.equal(logits(first.post, batch), logits(second.post, batch))
    assert first.post_digest == second.post_digest


def test_the_tokenizer_never_gains_a_bos(written):
    options = {"add_bos": False}
    pair = load_pair(written("llama", seed=1, **options), written("llama", seed=2, **options))
    before = pair.tokenizer("the cat")["input_ids"]
    pair.base.to_tokens("the cat")  # what a notebook may do with the bridge itself
    assert pair.tokenizer("the cat")["input_ids"] == before == pair.alignment.plain("the cat")
    assert before[0] != pair.tokenizer.bos_token_id
    assert pair.tokenizer is not pair.base.tokenizer


def test_a_model_without_bos_does_not_get_eos_for_it(written, tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        checkpoints.random_model("qwen2", seed=seed).save_pretrained(tmp_path / name)
        checkpoints.tokenizer(bos_token=None).save_pretrained(tmp_path / name)
    pair = load_pair(tmp_path / "a", tmp_path / "b")
    assert pair.tokenizer.bos_token is None
    assert 2 not in pair.alignment.plain("the cat")


def test_a_vocabulary_that_autotokenizer_would_replace_is_kept(written):
    pair = load_pair(written("qwen2", seed=1), written("qwen2", seed=2))
    assert pair.alignment.decode(pair.alignment.plain("the cat is")).split() == [
        "<s>", "the", "cat", "is",
    ]  # fmt: skip
    assert any("the checkpoint's own is used" in note for note in pair.notes)


def test_half_precision_goes_to_both_models_and_passes_the_gate(llama, post):
    pair = load_pair(llama, post, dtype=torch.bfloat16)
    assert {p.dtype for bridge in (pair.base, pair.post) for p in bridge.parameters()} == {
        torch.bfloat16
    }
    assert pair.dtype == torch.bfloat16
    assert pair.provenance().dtype == "bfloat16"
    assert pair.base_digest != load_pair(llama, post).base_digest


def test_another_attention_gives_the_same_logits(llama, post):
    eager, sdpa = (
        load_pair(llama, post),
        load_pair(llama, post, loading=Loading(attn_implementation="sdpa")),
    )
    batch = eager.alignment.encode(["the cat", "a dog is red"])
    difference = (logits(eager.base, batch) - logits(sdpa.base, batch))[batch.real].abs().max()
    assert difference <= 1e-5


def test_a_device_map_places_both_models(llama, post):
    pair = load_pair(llama, post, loading=Loading(device_map={"": "cpu"}))
    assert pair.device == "cpu"
    assert pair.base_digest == load_pair(llama, post).base_digest


def test_the_parity_gate_refuses_a_bridge_that_computes_something_else(llama, post, monkeypatch):
    boot = TransformerBridge.boot_transformers

    def spoilt(*positional, **named):
        bridge = boot(*positional, **named)
        with torch.no_grad():
            bridge.blocks[1].mlp.out.weight.mul_(1.5)
        return bridge

    monkeypatch.setattr(TransformerBridge, "boot_transformers", spoilt)
    with pytest.raises(PairError, match=r"differ from Hugging Face's by up to \d"):
        load_pair(llama, post)
    assert load_pair(llama, post, check_parity=False).parity is None


def test_bridges_in_hand_are_taken_as_they_are(llama, post):
    held = [TransformerBridge.boot_transformers(str(path), device="cpu") for path in (llama, post)]
    pair = load_pair(*held)
    assert pair.base is held[0]
    assert pair.post is held[1]
    loaded = load_pair(llama, post)
    assert (pair.base_digest, pair.post_digest) == (loaded.base_digest, loaded.post_digest)
    assert pair.alignment.plain("the cat") == loaded.alignment.plain("the cat")
    assert any("not compared with a plain model's" in note for note in pair.notes)


def test_a_bridge_paired_with_itself_is_a_control(llama, post):
    pair = load_pair(llama, post)
    with pytest.raises(PairError, match="allow_identical"):
        load_pair(pair.base, pair.base)
    control = load_pair(pair.base, pair.base, allow_identical=True)
    assert control.identical
    assert control.tokenizer is pair.tokenizer


def test_a_folded_bridge_is_refused(llama, post):
    held = TransformerBridge.boot_transformers(str(llama), device="cpu")
    held.enable_compatibility_mode(disable_warnings=True)
    with pytest.raises(PairError, match="compatibility mode"):
        load_pair(held, post)


def test_a_gemma_3_with_vision_is_read_as_its_language_model(tmp_path, written):
    text = checkpoints.random_model("gemma3_text", seed=1, tied=True)
    settings = transformers.Gemma3Config(
        text_config=text.config.to_dict(),
        vision_config={
            "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "image_size": 16, "patch_size": 8,
        },
        mm_tokens_per_image=4, image_token_index=60, boi_token_index=61, eoi_token_index=62,
    )  # fmt: skip
    whole = transformers.Gemma3ForConditionalGeneration(settings)
    whole.model.language_model.load_state_dict(text.model.state_dict())
    whole.tie_weights()
    whole.save_pretrained(tmp_path)
    checkpoints.tokenizer().save_pretrained(tmp_path)
    pair = load_pair(tmp_path, written("gemma3_text", seed=2, tied=True))
    assert type(pair.base.original_model).__name__ == "Gemma3ForCausalLM"
    assert pair.architecture == "gemma3_text"
    assert pair.base_digest == weights_digest(text)
    batch = pair.alignment.encode(["the cat", "a dog is red"])
    with torch.no_grad():
        expected = text(
            input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.position_ids
        ).logits
    assert (logits(pair.base, batch) - expected)[batch.real].abs().max() <= 1e-4


def test_an_organism_is_opened_by_name_alone_or_with_another(llama, tmp_path, monkeypatch):
    base, new = (
        OrganismModel(name=f"organism:{name}", world=tmp_path, variant=name)
        for name in ("base", "new")
    )

    def opened(organism):
        seed = {"base": 1, "new": 2}[organism.variant]
        return checkpoints.random_model("llama", seed=seed), checkpoints.tokenizer()

    monkeypatch.setattr(
        organisms, "resolve", lambda name: OrganismPair(name=name, base=base, post=new, truth={})
    )
    monkeypatch.setattr(
        organisms, "resolve_model", lambda name: {"organism:base": base, "organism:new": new}[name]
    )
    monkeypatch.setattr(organisms, "open_model", opened, raising=False)
    whole = load_pair("organism:new")
    named = load_pair("organism:base", "organism:new")
    assert (whole.base_digest, whole.post_digest) == (named.base_digest, named.post_digest)
    assert whole.base_name == named.base_name == "organism:base"
    assert whole.post_name == named.post_name == "organism:new"
    assert whole.base_digest == load_pair(llama, "organism:new").base_digest
    assert load_pair("organism:base", "organism:base", allow_identical=True).identical


def test_the_pair_shows_itself_and_escapes_what_it_shows(llama, tmp_path):
    hostile = checkpoints.write(
        tmp_path / "post", "llama", seed=3, chat_template="<script>alert(1)</script>"
    )
    base = checkpoints.write(tmp_path / "base", "llama", seed=1, chat_template="{{ messages }}")
    pair = load_pair(base, hostile)
    assert pair.base_digest[:12] in repr(pair)
    assert "3 layers" in repr(pair)
    assert "<script>" in repr(pair)
    page = pair._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_provenance_names_both_models_and_what_was_asked(llama, post):
    pair = load_pair(llama, post)
    origin = pair.provenance(7, {"layers": [0, 1]}, task_digests={"facts": "ab"})
    assert origin.base == pair.base_id
    assert origin.post is not None
    assert origin.post.digest == weights_digest(pair.post)
    assert (origin.seed, origin.dtype, origin.device) == (7, "float32", "cpu")
    assert origin.arguments == {"layers": [0, 1]}
    assert origin.task_digests == {"facts": "ab"}
