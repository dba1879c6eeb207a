"""A pair from configurations alone: everything of it but numbers, to say what a run would need."""

import json
from pathlib import Path
from typing import Literal, cast
from weakref import WeakKeyDictionary

import torch

from elicit.pair._adapters import find_adapter
from elicit.pair._checks import check_configs, text_config
from elicit.pair._guards import explained, guarded
from elicit.pair._settings import Loading, Settings, Source
from elicit.pair._sources import locate, stored_dtype
from elicit.pair._tokenizers import align, check_tokenizers
from elicit.pair._wrapping import boot
from elicit.pair.errors import PairError
from elicit.pair.handles import Bridge, Tokenizer
from elicit.pair.load import both_tokenizers, joint_dtype, names_of
from elicit.pair.model import ModelPair

_CHANGED: WeakKeyDictionary[ModelPair, frozenset[str] | None] = WeakKeyDictionary()


def outline_pair(
    base: str | Path,
    post: str | Path | None = None,
    *,
    dtype: torch.dtype | Literal["auto"] = torch.float32,
    vocab: Literal["exact", "shared"] = "exact",
    loading: Loading | None = None,
) -> ModelPair:
    """A pair without weights, from both configurations and tokenizers.

    Its models have every module and every shape and no numbers, so that nothing of it can be run;
    both models are one object. Every weight counts as changed, or those that an adapter names.

    Args:
        base: Hub id, directory or `organism:<name>`.
        post: The same, or a PEFT adapter for `base`. None if `base` names a pair of organisms.
        dtype: Precision in which the models would be loaded.
        vocab: As for `load_pair`.
        loading: As for `load_pair`.

    Raises:
        PairError: A configuration cannot be read, or the two models cannot be compared.
    """
    loading = loading or Loading()
    (first, revision_base), (second, revision_post) = names_of(base, post, loading)
    with guarded():
        if dtype == "auto":
            dtype = joint_dtype(
                stored_dtype(first, loading, revision=revision_base),
                stored_dtype(second, loading, revision=revision_post),
            )
        settings = Settings("cpu", dtype, loading)
        base_source = locate(first, "base", settings, revision=revision_base)
        post_source = locate(second, "post", settings, revision=revision_post, base=base_source)
        d_vocab, notes = check_configs(
            text_config(base_source.config), text_config(post_source.config), vocab=vocab
        )
        base_tokenizer, post_tokenizer, missing = both_tokenizers(base_source, post_source)
        notes += [*base_source.notes, *post_source.notes, *missing]
        notes += check_tokenizers(base_tokenizer, post_tokenizer, loading)
        alignment = align(base_tokenizer, post_tokenizer, loading, d_vocab=d_vocab)
        outlined = _outlined(base_source, base_tokenizer, settings)
    config = text_config(base_source.config)
    pair = ModelPair(
        base=outlined,
        post=outlined,
        tokenizer=base_tokenizer,
        post_tokenizer=post_tokenizer,
        alignment=alignment,
        n_layers=int(config.num_hidden_layers),
        d_model=int(config.hidden_size),
        d_vocab=d_vocab,
        architecture=str(config.model_type),
        base_name=base_source.name,
        post_name=post_source.name,
        base_digest="",
        post_digest="",
        identical=base_source.name == post_source.name and revision_base == revision_post,
        dtype=dtype,
        device="cpu",
        attn_implementation=loading.attn_implementation,
        notes=tuple(dict.fromkeys(notes)),
    )
    _CHANGED[pair] = _named_by(post_source, revision_post) if post_source.adapter else None
    return pair


def is_outline(pair: ModelPair) -> bool:
    """Whether a pair has no weights."""
    return pair in _CHANGED


def outline_changes(pair: ModelPair, name: str) -> bool:
    """Whether a parameter of an outlined pair counts as changed by post-training.

    Args:
        pair: Made by `outline_pair`.
        name: Checkpoint name, with or without the letter of a piece.
    """
    changed = _CHANGED[pair]
    if pair.identical:
        return False
    return changed is None or name.partition("[")[0].rpartition(".")[0] in changed


def _outlined(source: Source, tokenizer: Tokenizer, settings: Settings) -> Bridge:
    """The model of a configuration in a bridge, every tensor without storage."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from transformers import AutoModelForCausalLM

    # Unlike tensors on the meta device, these let a bridge split fused projections.
    with explained("configuration", source.name), FakeTensorMode():
        model = AutoModelForCausalLM.from_config(
            text_config(source.config),
            dtype=settings.dtype,
            attn_implementation=settings.loading.attn_implementation,
            trust_remote_code=settings.loading.trust_remote_code,
        ).eval()
        return boot(model, tokenizer, source.name, settings)


def _named_by(source: Source, revision: str | None) -> frozenset[str]:
    """Modules that an adapter changes, from the header of its weights."""
    from safetensors import safe_open
    from transformers.utils.hub import cached_file

    name = source.name
    folder = Path(name)
    with explained("adapter weights", name):
        file = (
            folder / "adapter_model.safetensors"
            if folder.is_dir()
            else cached_file(name, "adapter_model.safetensors", revision=revision)
        )
        with safe_open(str(file), framework="pt") as opened:
            keys = list(opened.keys())
        config = find_adapter(name, revision=revision)
        bias = json.loads(config.read_bytes()).get("bias", "none") if config is not None else "none"
    found = {_module(key) for key in keys}
    if not found or bias not in ("none", None):
        # With trained biases any module may change; that is the dearer case.
        raise PairError(
            f"the adapter {name} names no module, or trains biases too ({bias!r}), so which "
            "weights it changes cannot be told from its header. Merge it and pass the merged model."
        )
    return frozenset(found)


def _module(key: str) -> str:
    """Module that a tensor of an adapter changes.

    >>> _module("base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight")
    'model.layers.3.self_attn.q_proj'
    """
    bare = key.removeprefix("base_model.model.")
    for mark in (".lora_", ".modules_to_save", ".base_layer"):
        bare = bare.partition(mark)[0]
    return cast(str, bare.removesuffix(".weight"))
