"""A checkpoint in a directory or on the hub: configuration, tokenizer, weights."""

import copy
import json
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from elicit.pair._guards import explained, refuse_pickled
from elicit.pair._settings import Settings, Source
from elicit.pair._sharing import open_beside
from elicit.pair._tensors import check_blocks, check_filled, left_in_folder, unread
from elicit.pair.errors import PairError
from elicit.pair.handles import Config, HuggingFaceModel, Tokenizer

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
)


def checkpoint(name: str, settings: Settings, *, revision: str | None) -> Source:
    """A full model in a directory or on the hub.

    Raises:
        PairError: It has no readable configuration or tokenizer.
    """
    from transformers import AutoConfig

    with explained("configuration", name):
        config = AutoConfig.from_pretrained(
            name, trust_remote_code=settings.loading.trust_remote_code, revision=revision
        )
    stored = _quantised(config, name)
    tokenizer, notes = tokenizer_of(name, config, settings, revision=revision)
    return Source(
        name=name,
        config=config,
        tokenizer=tokenizer,
        open=lambda: _weights(name, config, settings, revision=revision),
        beside=None
        if stored is not None or config is not config.get_text_config()
        else lambda base: open_beside(name, config, settings, base, revision=revision),
        notes=notes,
    )


def tokenizer_of(
    name: str, config: Config, settings: Settings, *, revision: str | None
) -> tuple[Tokenizer | None, tuple[str, ...]]:
    """A checkpoint's tokenizer with notes, or None if it is a directory without one.

    Raises:
        PairError: It cannot be read.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    folder = Path(name)
    if folder.is_dir() and not any((folder / file).exists() for file in _TOKENIZER_FILES):
        return None, ()
    with explained("tokenizer", name):
        # With the configuration given: an adapter's folder has a tokenizer and no config.json.
        tokenizer = AutoTokenizer.from_pretrained(
            name,
            config=config,
            trust_remote_code=settings.loading.trust_remote_code,
            revision=revision,
        )
    # For some families (Qwen2, Phi-3) AutoTokenizer builds the family's usual tokenizer whatever
    # the checkpoint says, which reads a checkpoint with another kind of vocabulary as nonsense.
    with explained("tokenizer", name):
        stored = _stored_kind(folder / "tokenizer.json")
    backend = getattr(tokenizer, "backend_tokenizer", None)
    built = type(backend.model).__name__ if backend is not None else None
    if stored is None or built is None or stored == built:
        return tokenizer, ()
    with explained("tokenizer", name):
        own = PreTrainedTokenizerFast.from_pretrained(name)  # a folder: no revisions
    return own, (
        f"AutoTokenizer builds a {built} tokenizer for {name}, whose tokenizer.json holds a "
        f"{stored}; the checkpoint's own is used.",
    )


def _stored_kind(file: Path) -> str | None:
    """Kind of vocabulary in a tokenizer.json, e.g. `BPE`; None if there is no such file."""
    if not file.is_file():
        return None
    model = json.loads(file.read_text(encoding="utf-8")).get("model", {})
    return model.get("type")


def _weights(
    name: str, config: Config, settings: Settings, *, revision: str | None
) -> tuple[HuggingFaceModel, tuple[str, ...]]:
    """The plain model of a checkpoint, filled from it whole, and a note on what it leaves over."""
    from transformers import AutoModelForCausalLM

    refuse_pickled(name, "model")
    config, stored = copy.deepcopy(config), _quantised(config, name)  # loading writes into it
    if stored is not None:
        config.quantization_config = stored
        check_blocks(name, stored.get("weight_block_size"))
    with explained("weights", name):
        loaded = AutoModelForCausalLM.from_pretrained(
            name,
            config=config,
            dtype=settings.dtype,
            attn_implementation=settings.loading.attn_implementation,
            trust_remote_code=settings.loading.trust_remote_code,
            output_loading_info=True,
            revision=revision,
            device_map=settings.loading.device_map,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # refused below, by name
        )
    # With `output_loading_info` there are two things, which the annotation does not say.
    model, info = cast(tuple[HuggingFaceModel, dict[str, Any]], loaded)
    check_filled(name, info["missing_keys"], info["mismatched_keys"])
    unused = {*info["unexpected_keys"], *left_in_folder(name)}
    notes = unread(name, unused, settings, "the model of its config.json does not read")
    if stored is not None:
        # What was stored beside the quantised weights keeps its precision until it is asked to.
        model = cast(HuggingFaceModel, nn.Module.to(model, settings.dtype))
        if hasattr(model.config, "quantization_config"):
            delattr(model.config, "quantization_config")
        kind = stored["quant_method"]
        rounding = f"{name} is stored in {kind} and was dequantised to {settings.dtype}; "
        notes += (rounding + "differences as small as its rounding come from storage.",)
    return text_only(model.eval()), (*notes, *_untied(model, name))


_DEQUANTISED = ("fp8", "mxfp4")
"""Kinds of quantised storage whose weights can be read as ordinary numbers."""


def _quantised(config: Config, name: str) -> dict[str, Any] | None:
    """How a checkpoint is stored quantised, set to be read as ordinary numbers; None if it is not.

    Raises:
        PairError: Its kind cannot be read so.
    """
    told = getattr(config, "quantization_config", None)
    if told is None:
        return None
    given = dict(told) if isinstance(told, dict) else told.to_dict()
    kind = str(given.get("quant_method"))
    if kind not in _DEQUANTISED:
        raise PairError(
            f"{name} is stored quantised ({kind}), and its kernels compute with other numbers than "
            "its weights are, so weights and activations cannot be compared with another model's. "
            f"Dequantise it and save it, or pass one stored in {' or '.join(_DEQUANTISED)}."
        )
    return {**given, "dequantize": True}


def _untied(model: HuggingFaceModel, name: str) -> tuple[str, ...]:
    """A note where the files untie what the configuration ties, which is then corrected."""
    config, head = model.config.get_text_config(), model.get_output_embeddings()
    if head is None or not config.tie_word_embeddings:
        return ()
    if head.weight is model.get_input_embeddings().weight:
        return ()
    model.config.tie_word_embeddings = config.tie_word_embeddings = False
    return (
        f"The config.json of {name} ties the unembedding to the embedding, and its files hold two "
        "different tensors; both are read.",
    )


def text_only(model: HuggingFaceModel) -> HuggingFaceModel:
    """The language model of a Gemma-3 with vision, sharing its weights; any other model as it is.

    Wrapped whole it would need an image processor, for which TransformerLens tries to install
    packages.
    """
    if type(model).__name__ != "Gemma3ForConditionalGeneration":
        return model
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig, Gemma3TextModel

    whole = model.get_submodule("model")
    config = cast(Gemma3TextConfig, model.config.get_text_config())
    head = cast(nn.Linear, model.get_submodule("lm_head"))
    tied = head.weight is model.get_input_embeddings().weight
    with torch.device("meta"):
        text = Gemma3ForCausalLM(config)
    text.model = cast(Gemma3TextModel, whole.get_submodule("language_model"))
    text.lm_head = head
    text.config.architectures = ["Gemma3ForCausalLM"]
    text.config.tie_word_embeddings = tied
    text.generation_config = model.generation_config
    return text.eval()
