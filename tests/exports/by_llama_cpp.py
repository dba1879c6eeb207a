"""A checkpoint in llama.cpp: written as GGUF, loaded, steered by a file of control vectors.

The conversion follows llama.cpp's `conversion/llama.py`, the reading of a control vector its
`common_control_vector_load_one` (`common/common.cpp`), which its Python package does not bring.
"""

import ctypes
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file


def write_llama(checkpoint: Path, path: Path) -> Path:
    """A Llama checkpoint in float32, without its tokenizer."""
    import gguf

    config = json.loads((checkpoint / "config.json").read_text())
    heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
    n_layers = config["num_hidden_layers"]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, n_layers)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(n_layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads["q"])
    writer.add_head_count_kv(heads["k"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    rope = config.get("rope_parameters") or config
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads["q"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, tensor in load_file(checkpoint / "model.safetensors").items():
        for which, n in heads.items():
            if f"{which}_proj" in name:
                # llama.cpp turns neighbouring pairs, the checkpoint the two halves of a head.
                halves = tensor.view(n, 2, len(tensor) // n // 2, -1)
                tensor = halves.transpose(1, 2).reshape(tensor.shape)
        stem, _, end = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(stem)}.{end}", tensor.float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def control_vector(path: Path, strength: float) -> tuple[np.ndarray, int]:
    """Values of layers 1, 2, … one after the other, times the strength, and their width."""
    import gguf

    rows: dict[int, np.ndarray] = {}
    for tensor in gguf.GGUFReader(str(path)).tensors:
        kind, _, number = tensor.name.partition(".")
        layer = int(number) if kind == "direction" else -1
        assert layer > 0 and tensor.tensor_type == gguf.GGMLQuantizationType.F32
        assert tensor.data.ndim == 1
        rows[layer] = rows.get(layer, 0) + tensor.data * np.float32(strength)
    width = len(next(iter(rows.values())))
    data = np.zeros((max(rows), width), dtype=np.float32)
    for layer, values in rows.items():
        data[layer - 1] = values
    return data, width


@contextmanager
def loaded(path: Path) -> Iterator["LlamaCpp"]:
    """The model, in float32 throughout, on one thread."""
    import llama_cpp as cpp

    quiet = cpp.llama_log_callback(lambda level, text, data: None)
    cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    cpp.llama_backend_init()
    options = cpp.llama_model_default_params()
    options.n_gpu_layers = 0
    model = cpp.llama_model_load_from_file(str(path).encode(), options)
    assert model
    try:
        yield LlamaCpp(model)
    finally:
        cpp.llama_model_free(model)


class LlamaCpp:
    """A loaded model; a fresh context for every text."""

    def __init__(self, model) -> None:
        self.model = model

    def logits(
        self,
        ids: Sequence[int],
        *,
        vector: tuple[np.ndarray, int] | None = None,
        layers: tuple[int, int] = (0, 0),
    ) -> torch.Tensor:
        """Logits after every token, `[pos, d_vocab]`.

        Args:
            ids: The text.
            vector: See `control_vector`.
            layers: First and last layer of `--control-vector-layer-range`.
        """
        import llama_cpp as cpp

        options = cpp.llama_context_default_params()
        options.n_ctx = options.n_batch = options.n_ubatch = 64
        options.n_threads = options.n_threads_batch = 1
        options.type_k = options.type_v = cpp.GGML_TYPE_F32
        options.flash_attn_type = cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = cpp.llama_init_from_model(self.model, options)
        assert context
        batch = cpp.llama_batch_init(len(ids), 0, 1)
        try:
            if vector is not None:
                data, width = vector
                held = (ctypes.c_float * data.size)(*data.ravel().tolist())
                done = cpp.llama_set_adapter_cvec(context, held, data.size, width, *layers)
                assert done == 0
            batch.n_tokens = len(ids)
            for place, token in enumerate(ids):
                batch.token[place], batch.pos[place] = token, place
                batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
                batch.logits[place] = True
            assert cpp.llama_decode(context, batch) == 0
            d_vocab = cpp.llama_vocab_n_tokens(cpp.llama_model_get_vocab(self.model))
            rows = [
                np.ctypeslib.as_array(cpp.llama_get_logits_ith(context, place), (d_vocab,)).copy()
                for place in range(len(ids))
            ]
            return torch.from_numpy(np.stack(rows))
        finally:
            cpp.llama_batch_free(batch)
            cpp.llama_free(context)
