"""Two models that cannot be compared are refused with both values, before long work starts."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from elicit.pair import PairError, load_pair
from elicit.results import ElicitError
from tests import checkpoints


def refused(base, post, **options) -> str:
    with pytest.raises(PairError) as caught:
        load_pair(base, post, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


def copied(source, to, **changes):
    """A copy of a checkpoint with changes in its config.json."""
    shutil.copytree(source, to)
    file = to / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return to


def test_an_error_of_this_room_is_one_a_user_can_act_on():
    assert issubclass(PairError, ElicitError)


def test_vocabularies_of_two_sizes_are_refused_unless_shared(written, llama):
    words = [*checkpoints.default_words(), "<think>"]
    post = written("llama", seed=2, d_vocab=72, words=words)
    message = refused(llama, post)
    assert "64" in message
    assert "72" in message
    assert "vocab='shared'" in message
    pair = load_pair(llama, post, vocab="shared")
    assert pair.d_vocab == 64
    assert any("<think>" in note for note in pair.notes)
    assert any("64 in base and 72 in post" in note for note in pair.notes)


def test_widths_depths_and_families_that_differ_are_refused(written, llama):
    message = refused(llama, written("llama", d_model=64))
    assert "d_model 32" in message
    assert "64" in message
    message = refused(llama, written("llama", n_layers=2))
    assert "3 layers" in message
    assert "post 2" in message
    message = refused(llama, written("qwen3"))
    assert "llama" in message
    assert "qwen3" in message


def test_an_inner_width_that_differs_is_refused_by_the_parameter(tmp_path, llama):
    model = checkpoints.random_model("llama", seed=2)
    model.config.intermediate_size = 96
    other = type(model)(model.config)
    other.save_pretrained(tmp_path)
    message = refused(llama, tmp_path)
    assert "mlp.gate_proj.weight" in message
    assert "[64, 32]" in message
    assert "[96, 32]" in message


def test_an_id_with_two_strings_is_refused_and_shown(written, llama):
    words = checkpoints.default_words()
    words[5], words[7] = words[7], words[5]
    message = refused(llama, written("llama", seed=2, words=words))
    assert f"id 9 is {words[7]!r} in base's tokenizer and {words[5]!r} in post's" in message


def test_a_string_with_two_ids_is_refused(written):
    words = checkpoints.default_words()
    base = written("llama", seed=1, words=[*words[:50], "<think>"])
    post = written("llama", seed=2, words=[*words[:50], *words[52:54], "<think>"])
    assert "id 54 is '<think>' in base's tokenizer and" in refused(base, post)
    shorter = written("llama", seed=1, words=words[:50])
    assert any("knows 3 token" in note for note in load_pair(shorter, post).notes)


def test_a_token_that_moved_to_a_new_id_is_refused():
    from elicit.pair._tokenizers import check_tokenizers

    base = checkpoints.tokenizer(words=["the"])
    base.add_tokens(["<think>"])
    post = checkpoints.tokenizer(words=["the"])
    post.get_vocab = lambda: {"<think>": 9}  # ids with gaps, as added tokens may have
    with pytest.raises(PairError, match="'<think>' has id 5 in base's tokenizer and 9 in post's"):
        check_tokenizers(base, post)


def test_two_bos_policies_are_refused(written, llama):
    message = refused(llama, written("llama", seed=2, add_bos=False))
    assert "Base's tokenizer adds a bos token to text and post's does not add" in message


def test_tied_and_untied_embeddings_are_refused(written):
    message = refused(written("llama", seed=1, tied=True), written("llama", seed=2, tied=False))
    assert "embeddings of base are tied" in message
    assert "lm_head.weight" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_numbers_are_refused_by_name(tmp_path, llama, value):
    def spoil(model):
        model.model.layers[1].mlp.up_proj.weight[3, 4] = value

    post = checkpoints.write(tmp_path / "post", "llama", seed=2, edit=spoil)
    message = refused(llama, post)
    assert "model.layers.1.mlp.up_proj.weight" in message
    assert "1 element(s)" in message


def test_equal_weights_are_refused_unless_allowed(written, llama):
    twin = written("llama", seed=1, chat_template=checkpoints.CHAT_TEMPLATE)
    for post in (llama, twin):
        assert "allow_identical=True" in refused(llama, post)
    pair = load_pair(llama, twin, allow_identical=True)
    assert pair.identical
    assert pair.base_digest == pair.post_digest
    assert "all weights are the same" in repr(pair)


def test_what_is_not_there_is_refused_in_one_line(tmp_path, llama):
    assert "no such directory" in refused(llama, tmp_path / "nowhere")
    assert "no such directory" in refused("./nowhere", llama)
    assert "neither config.json nor adapter_config.json" in refused(tmp_path, llama)
    assert "is a file" in refused(llama / "config.json", llama)
    assert "nobody/nothing" in refused("nobody/nothing", llama)
    assert "post is missing" in refused(llama, None)
    assert "Linear" in refused(llama, torch.nn.Linear(2, 2))


def test_a_checkpoint_with_code_of_its_own_needs_leave(tmp_path, llama):
    own = copied(
        llama,
        tmp_path / "own",
        model_type="unheard_of",
        auto_map={"AutoConfig": "code.Mine", "AutoModelForCausalLM": "code.Model"},
    )
    (own / "code.py").write_text("raise SystemExit('must not run')\n")
    message = refused(llama, own)
    assert "brings its own code" in message
    assert "trust_remote_code=True" in message


def test_a_checkpoint_that_lacks_a_weight_is_refused_by_name(tmp_path, llama):
    part = tmp_path / "part"
    shutil.copytree(llama, part)
    weights = load_file(part / "model.safetensors")
    del weights["model.layers.2.self_attn.q_proj.weight"]
    save_file(weights, part / "model.safetensors", metadata={"format": "pt"})
    message = refused(llama, part)
    assert "lack model.layers.2.self_attn.q_proj.weight" in message


def test_a_truncated_or_missing_weight_file_is_refused(tmp_path, llama):
    cut = tmp_path / "cut"
    shutil.copytree(llama, cut)
    file = cut / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    assert f"weights of {cut} cannot be loaded" in refused(llama, cut)
    file.unlink()
    assert f"weights of {cut} cannot be loaded" in refused(llama, cut)


def test_a_broken_configuration_is_refused(tmp_path, llama):
    broken = tmp_path / "broken"
    shutil.copytree(llama, broken)
    (broken / "config.json").write_text("{ not json")
    assert f"configuration of {broken} cannot be loaded" in refused(llama, broken)


def test_a_pair_without_any_tokenizer_is_refused(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        checkpoints.random_model("llama", seed=seed).save_pretrained(tmp_path / name)
    assert "tokenizer" in refused(tmp_path / "a", tmp_path / "b")


def test_a_device_that_is_not_there_is_refused(llama, written):
    assert "'cuda:77'" in refused(llama, written("llama", seed=2), device="cuda:77")


def test_a_word_that_is_no_choice_is_refused(llama, written):
    with pytest.raises(Exception, match="vocab|Literal"):
        load_pair(llama, written("llama", seed=2), vocab="both")  # pyright: ignore


def test_a_setting_that_weights_do_not_carry_is_noted_with_both_values(tmp_path, llama, written):
    post = copied(
        written("llama", seed=2),
        tmp_path / "post",
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
    )
    pair = load_pair(llama, post)
    (note,) = [note for note in pair.notes if "rope_parameters" in note]
    assert "500000.0" in note
    assert "10000.0" in note


def test_a_precision_in_which_padded_rows_are_not_numbers_is_refused(written):
    with pytest.raises(PairError, match="float64 are NaN or infinite.*padded on the left"):
        load_pair(written("llama", seed=1), written("llama", seed=2), dtype=torch.float64)
    pair = load_pair(written("gpt2", seed=1), written("gpt2", seed=2), dtype=torch.float64)
    assert pair.parity is not None and max(pair.parity) < 1e-5
