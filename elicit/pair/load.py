"""Load a pair: refuse what cannot be compared, early, and wrap both models alike."""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import torch

from elicit import organisms
from elicit.organisms import OrganismModel
from elicit.pair._adapters import has_own_head, untie
from elicit.pair._checks import (
    check_configs,
    check_finite,
    check_parameters,
    setting_notes,
    text_config,
)
from elicit.pair._guards import guarded
from elicit.pair._parity import check_parity, plain_logits
from elicit.pair._rotary import lengths_by_row
from elicit.pair._settings import Loading, Settings, Source, resolve_device
from elicit.pair._sharing import share_equal
from elicit.pair._sources import locate, stored_dtype
from elicit.pair._templates import writes_date
from elicit.pair._tokenizers import align, check_tokenizers
from elicit.pair._wrapping import boot
from elicit.pair.digests import checkpoint_parameters, weights_digest
from elicit.pair.errors import PairError, reason
from elicit.pair.handles import Bridge, HuggingFaceModel, Tokenizer
from elicit.pair.model import ModelPair
from elicit.pair.placement import device_of, offload
from elicit.pair.recording import record_steps


def load_pair(
    base: str | Path | Bridge,
    post: str | Path | Bridge | None = None,
    *,
    device: str | torch.device = "auto",
    dtype: torch.dtype | Literal["auto"] = torch.float32,
    vocab: Literal["exact", "shared"] = "exact",
    allow_identical: bool = False,
    check_parity: bool = True,
    loading: Loading | None = None,
) -> ModelPair:
    """A base model and its post-trained child, loaded alike and checked to be comparable.

    Args:
        base: Hub id (`name@revision` for a branch, tag or commit), directory, `organism:<name>`,
            or a raw `TransformerBridge`.
        post: The same, or a PEFT adapter for `base`. None if `base` names a pair of organisms.
        device: Device of both models, `auto` for a GPU where there is one, else the CPU;
            `Loading(post_device=)` names another for post. Bridges that are passed stay where they
            are.
        dtype: Precision of both models' weights, `auto` for that of the checkpoints (the narrowest
            that holds both); bridges that are passed keep theirs.
        vocab: `exact`: vocabularies must match; `shared`: compare only token ids known to
            both, and leave embedding and unembedding with their model, in no part of the weights.
        allow_identical: Accept a pair whose weights are all the same, for example as a control.
        check_parity: Compare each wrapped model's logits with the plain model's.
        loading: Device of post, device map, remote code, attention kernel and revisions.

    Returns:
        The pair; its `notes` name differences that do not prevent a comparison.

    Raises:
        PairError: A model cannot be loaded, or the two cannot be compared; names both values.
    """
    if vocab not in ("exact", "shared"):
        raise PairError(f"vocab is {vocab!r}; it is 'exact' or 'shared'.")
    loading = loading or Loading()
    (first, revision_base), (second, revision_post) = names_of(base, post, loading)
    with guarded():
        if dtype == "auto":
            dtype = joint_dtype(
                stored_dtype(first, loading, revision=revision_base),
                stored_dtype(second, loading, revision=revision_post),
            )
        settings = Settings(resolve_device(device), dtype, loading)
        for_post = settings.of_post
        base_source = locate(first, "base", settings, revision=revision_base)
        post_source = locate(second, "post", for_post, revision=revision_post, base=base_source)
        return _load(
            base_source,
            post_source,
            (settings, for_post),
            vocab=vocab,
            allow_identical=allow_identical,
            parity=check_parity,
        )


Named = tuple[str | Path | Bridge | OrganismModel, str | None]
"""What a model is called, and its revision on the hub."""


def names_of(
    base: str | Path | Bridge, post: str | Path | Bridge | None, loading: Loading
) -> tuple[Named, Named]:
    """Both models of the pair with their revisions, also where one name stands for both."""
    first, second = _names(base, post)
    return (
        _revised(first, loading.revision_base, "base"),
        _revised(second, loading.revision_post, "post"),
    )


def joint_dtype(*stored: torch.dtype | None) -> torch.dtype:
    """Narrowest precision that holds both checkpoints; float32 where neither names one."""
    known = [one for one in stored if one is not None]
    return functools.reduce(torch.promote_types, known) if known else torch.float32


def _names(
    base: str | Path | Bridge, post: str | Path | Bridge | None
) -> tuple[str | Path | Bridge | OrganismModel, str | Path | Bridge | OrganismModel]:
    """Both models of the pair, also where one name stands for both."""
    if post is not None:
        return base, post
    if isinstance(base, str) and organisms.is_organism(base):
        found = organisms.resolve(base)
        return found.base, found.post
    shown = repr(base) if isinstance(base, str | Path) else f"a {type(base).__name__}"
    raise PairError(
        f"post is missing: base is {shown}, and only a name like 'organism:rl' stands for a whole "
        "pair. Pass the post-trained model, or an adapter, as post."
    )


def _revised(what: str | Path | Bridge | OrganismModel, revision: str | None, role: str) -> Named:
    """A model's name without the revision that `name@revision` gives it, and the revision."""
    if not isinstance(what, str) or "@" not in what or Path(what).expanduser().exists():
        return what, revision
    name, _, written = what.rpartition("@")
    if not name or not written:
        raise PairError(
            f"{role} is {what!r}, which has nothing on one side of '@'. Write name@revision."
        )
    if revision not in (None, written):
        raise PairError(
            f"{role} is {what!r} and its revision is given as {revision!r} too, so it is not clear "
            "which is meant. Give one."
        )
    return name, written


def _load(
    base: Source,
    post: Source,
    placed: tuple[Settings, Settings],
    *,
    vocab: Literal["exact", "shared"],
    allow_identical: bool,
    parity: bool,
) -> ModelPair:
    """Check, open and wrap two located models, cheapest checks first.

    `placed`: settings of base and of post, which differ in the device alone.
    """
    settings, for_post = placed
    base_config, post_config = text_config(base.config), text_config(post.config)
    d_vocab, notes = check_configs(base_config, post_config, vocab=vocab)
    base_tokenizer, post_tokenizer, missing = both_tokenizers(base, post)
    notes += [*base.notes, *post.notes, *missing]
    notes += check_tokenizers(base_tokenizer, post_tokenizer, settings.loading)
    alignment = align(base_tokenizer, post_tokenizer, settings.loading, d_vocab=d_vocab)
    if writes_date(alignment.chat_template):
        notes.append(f"The chat template writes the day; it is always {alignment.date} here.")

    base_model, of_base = _opened(base, settings)
    post_model, of_post = _opened(post, for_post, beside=base_model)
    notes += [*of_base, *of_post]
    if post.adapter and has_own_head(post_model) and untie(base_model):
        notes.append(
            f"{post.name} changes the embedding or the unembedding of a base that ties them; here "
            "each model has an unembedding of its own, which base's embedding fills."
        )
    base_parameters = checkpoint_parameters(base_model)
    post_parameters = checkpoint_parameters(post_model)
    check_finite(base.name, base_parameters)
    check_finite(post.name, post_parameters)
    check_parameters(base_parameters, post_parameters, vocab=vocab)
    base_digest = weights_digest(base_model)
    post_digest = base_digest if post_model is base_model else weights_digest(post_model)
    # With other settings the same weights are another model: a rope_theta moves every logit.
    identical = base_digest == post_digest and not setting_notes(base_config, post_config)
    if identical and not allow_identical:
        raise _without_effect(base, post, base_digest)

    base_bridge, base_difference = _wrapped(base_model, base_tokenizer, base, settings, parity)
    post_bridge, post_difference = _wrapped(post_model, post_tokenizer, post, for_post, parity)
    if settings.loading.share_weights and post_bridge is not base_bridge:
        if settings.loading.device_map is None:  # models that are passed may be on two devices
            there = replace(settings.loading, post_device=device_of(post_bridge))
            there.apart(device_of(base_bridge))
        notes.append(share_equal(base_bridge, post_bridge))
    for bridge, where in {post_bridge: for_post.device, base_bridge: settings.device}.items():
        record_steps(bridge, settings.loading.cuda_graphs)
        if settings.loading.offload:
            offload(bridge, where)
    differences = (
        (base_difference, post_difference)
        if base_difference is not None and post_difference is not None
        else None
    )
    wrapped = cast(HuggingFaceModel, base_bridge.original_model)
    return ModelPair(
        base=base_bridge,
        post=post_bridge,
        tokenizer=base_tokenizer,
        post_tokenizer=post_tokenizer,
        alignment=alignment,
        n_layers=int(base_config.num_hidden_layers),
        d_model=int(base_config.hidden_size),
        d_vocab=d_vocab,
        architecture=str(base_config.model_type),
        base_name=base.name,
        post_name=post.name,
        base_digest=base_digest,
        post_digest=post_digest,
        identical=identical,
        dtype=next(iter(base_parameters.values())).dtype,
        device=str(device_of(base_bridge)),
        attn_implementation=str(wrapped.config._attn_implementation),
        parity=differences,
        notes=tuple(dict.fromkeys(notes)),
    )


def both_tokenizers(base: Source, post: Source) -> tuple[Tokenizer, Tokenizer, list[str]]:
    """Both tokenizers; one stands in for a model that brings none, and a note says so."""
    if base.tokenizer is not None and post.tokenizer is not None:
        return base.tokenizer, post.tokenizer, []
    if base.tokenizer is not None:
        return base.tokenizer, base.tokenizer, ["post brings no tokenizer; base's serves both."]
    if post.tokenizer is not None:
        return post.tokenizer, post.tokenizer, ["base brings no tokenizer; post's serves both."]
    raise PairError(
        f"Neither {base.name} nor {post.name} holds a tokenizer, so no text can be read. Save the "
        "tokenizer they were trained with into one of the directories."
    )


def _opened(
    source: Source, settings: Settings, *, beside: HuggingFaceModel | Bridge | None = None
) -> tuple[HuggingFaceModel | Bridge, tuple[str, ...]]:
    """The model with its weights, on its device, and notes on them."""
    share = settings.loading.share_weights and not hasattr(beside, "original_model")
    # Over several devices each model is placed whole, and what is equal is shared afterwards.
    share = share and settings.loading.device_map is None
    if share and beside is not None and source.beside is not None:
        model, notes = source.beside(cast(HuggingFaceModel, beside))
    else:
        model, notes = source.open()
    if hasattr(model, "original_model") or settings.loading.device_map is not None:
        return model, notes
    try:
        model = model.to(torch.device(settings.home))  # pyright: ignore[reportArgumentType]
    except (RuntimeError, AssertionError) as error:
        raise PairError(
            f"{source.name} cannot be put on device {str(settings.device)!r}: {reason(error)} Pass "
            "device='cpu', or one that this machine has."
        ) from error
    return model, notes


def _without_effect(base: Source, post: Source, digest: str) -> PairError:
    """The error for a pair without a difference."""
    if post.adapter:
        what = (
            f"The adapter {post.name} changes no weight of {base.name} (its low-rank product is 0 "
            "everywhere, as before training)"
        )
    else:
        what = f"{base.name} and {post.name} have the same weights (SHA-256 {digest[:12]}…)"
    return PairError(
        f"{what}, so every difference would be exactly 0 and look like a finding. Check that post "
        "is the trained model, or pass allow_identical=True for a control."
    )


def _wrapped(
    model: HuggingFaceModel | Bridge,
    tokenizer: Tokenizer,
    source: Source,
    settings: Settings,
    parity: bool,
) -> tuple[Bridge, float | None]:
    """The model in a bridge, and how far its logits are from the plain model's."""
    lengths_by_row(getattr(model, "original_model", model))
    if hasattr(model, "original_model"):
        return model, None  # pyright: ignore[reportReturnType]
    # Wrapping is in place: afterwards there is no plain model left to compare with.
    reference = plain_logits(model) if parity else None  # pyright: ignore[reportArgumentType]
    bridge = boot(model, tokenizer, source.name, settings)  # pyright: ignore[reportArgumentType]
    if reference is None:
        return bridge, None
    return bridge, check_parity(bridge, reference, source.name)
