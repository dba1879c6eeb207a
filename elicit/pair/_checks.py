"""Whether two models can be compared number by number; every refusal names both values."""

import json
from typing import Literal

from torch import nn

from elicit.pair.digests import first_nonfinite
from elicit.pair.errors import PairError
from elicit.pair.handles import Config

# Settings that do not change what the weights compute.
_CLERICAL = frozenset(
    {
        "_attn_implementation",
        "_name_or_path",
        "architectures",
        "attention_dropout",
        "attn_pdrop",
        "auto_map",
        "bos_token_id",
        "chunk_size_feed_forward",
        "decoder_start_token_id",
        "dtype",
        "embd_pdrop",
        "eos_token_id",
        "finetuning_task",
        "hidden_dropout",
        "hidden_dropout_prob",
        "id2label",
        "initializer_range",
        "is_encoder_decoder",
        "label2id",
        "model_type",
        "name_or_path",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "pretraining_tp",
        "problem_type",
        "quantization_config",
        "resid_pdrop",
        "return_dict",
        "sep_token_id",
        "task_specific_params",
        "tie_word_embeddings",
        "tokenizer_class",
        "torch_dtype",
        "transformers_version",
        "unsloth_version",
        "use_cache",
        "vocab_size",
    }
)


def text_config(config: Config) -> Config:
    """The part of a configuration that describes the language model."""
    return config.get_text_config()


def check_configs(
    base: Config, post: Config, *, vocab: Literal["exact", "shared"]
) -> tuple[int, list[str]]:
    """Refuse models of different make; count the ids that both have a row for.

    `vocab`: `shared` compares the ids that both have, `exact` wants the same number.

    Returns:
        Ids both models know, and a sentence for each setting that differs and that weights do not
        carry.

    Raises:
        PairError: Architecture, number of layers, width or vocabulary differ.
    """
    for name, config in (("base", base), ("post", post)):
        if getattr(config, "is_encoder_decoder", False):
            raise PairError(
                f"{name} is an encoder-decoder ({config.model_type}); only decoder-only language "
                "models can be compared. Pass two causal language models."
            )
    if base.model_type != post.model_type:
        raise PairError(
            f"base is of the family {base.model_type} and post of {post.model_type}, so their "
            "layers do not correspond. Pass a model and one trained from it."
        )
    if base.num_hidden_layers != post.num_hidden_layers:
        raise PairError(
            f"base has {base.num_hidden_layers} layers and post {post.num_hidden_layers}, so their "
            "layers do not correspond. Pass a model and one trained from it."
        )
    if base.hidden_size != post.hidden_size:
        raise PairError(
            f"base has d_model {base.hidden_size} and post {post.hidden_size}, so no activation or "
            "weight of one fits the other. Pass a model and one trained from it."
        )
    if base.vocab_size != post.vocab_size and vocab == "exact":
        raise PairError(
            f"base has d_vocab {base.vocab_size} and post {post.vocab_size}, so their logits "
            "cannot be compared token by token. Pass vocab='shared' to compare the tokens both "
            "know."
        )
    notes = []
    if base.vocab_size != post.vocab_size:
        notes.append(
            f"d_vocab is {base.vocab_size} in base and {post.vocab_size} in post; only the shared "
            "ids are compared. Embedding and unembedding stay with their model, in no part of the "
            "weights, so either model with all the other's parts is still not the other."
        )
    return min(base.vocab_size, post.vocab_size), notes + setting_notes(base, post)


def forward_settings(config: Config) -> dict[str, object]:
    """Settings that change what the weights compute, JSON values only."""
    whole = json.loads(text_config(config).to_json_string(use_diff=False))
    return {key: value for key, value in whole.items() if key not in _CLERICAL}


def setting_notes(base: Config, post: Config) -> list[str]:
    """A sentence for every setting of the forward that differs."""
    ours, theirs = forward_settings(base), forward_settings(post)
    return [
        f"Config {key} is {ours.get(key)!r} in base and {theirs.get(key)!r} in post; weights do "
        "not carry it, so either model with all the other's weights is still not the other."
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


def check_finite(name: str, parameters: dict[str, nn.Parameter]) -> None:
    """Refuse weights that are not numbers.

    Raises:
        PairError: A parameter holds NaN or an infinity.
    """
    found = first_nonfinite(parameters)
    if found is not None:
        raise PairError(
            f"{found[1]} element(s) of {found[0]} in {name} are NaN or infinite, so every number "
            "after that layer would be too. The checkpoint is damaged, or it overflowed in this "
            "dtype; load it from a sound copy, or with dtype=torch.float32."
        )


def check_parameters(
    base: dict[str, nn.Parameter],
    post: dict[str, nn.Parameter],
    *,
    vocab: Literal["exact", "shared"],
) -> None:
    """Refuse two models whose parameters do not correspond one to one.

    `vocab`: with `shared`, embeddings may differ in their number of rows.

    Raises:
        PairError: Tying, names, shapes or dtypes differ.
    """
    tied_base, tied_post = _tied(base), _tied(post)
    if tied_base != tied_post:
        tied, untied = ("base", "post") if tied_base else ("post", "base")
        raise PairError(
            f"The embeddings of {tied} are tied ({' = '.join(sorted(tied_base | tied_post))}) and "
            f"those of {untied} are not, so a part of one has no counterpart in the other. Save "
            f"{tied} with tie_word_embeddings=False and its unembedding written out."
        )
    for name in [*base, *post]:
        if (name in base) != (name in post):
            having, lacking = ("base", "post") if name in base else ("post", "base")
            raise PairError(
                f"{having} has the parameter {name} and {lacking} has not, so their parts do not "
                "correspond. Pass a model and one trained from it."
            )
    for name, ours in base.items():
        theirs = post[name]
        if ours.shape != theirs.shape and not (
            vocab == "shared"
            and ours.shape[1:] == theirs.shape[1:]
            and name.rpartition(".")[0].endswith(VOCABULARY)
        ):
            raise PairError(
                f"{name} has shape {list(ours.shape)} in base and {list(theirs.shape)} in post, so "
                "their parts do not correspond. Pass a model and one trained from it."
            )
        if ours.dtype != theirs.dtype:
            raise PairError(
                f"{name} has dtype {ours.dtype} in base and {theirs.dtype} in post, so differences "
                "between the models would be rounding. Load both with one dtype."
            )


VOCABULARY = ("wte", "embed_in", "embed_tokens", "lm_head", "embed_out")
"""Modules with one row for each token id."""


def _tied(parameters: dict[str, nn.Parameter]) -> frozenset[str]:
    """Names that share their parameter with another name."""
    names: dict[int, list[str]] = {}
    for name, parameter in parameters.items():
        names.setdefault(id(parameter), []).append(name)
    return frozenset(name for group in names.values() if len(group) > 1 for name in group)
