"""Where a model comes from: a directory, the hub, an adapter, an organism, or a loaded bridge."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import nn

from elicit import organisms
from elicit.organisms import OrganismModel
from elicit.pair._adapters import (
    brought_rows,
    find_adapter,
    leaves_base,
    merge_adapter,
    open_adapter,
)
from elicit.pair._checkpoint import checkpoint, tokenizer_of
from elicit.pair._checks import text_config
from elicit.pair._guards import explained
from elicit.pair._settings import Loading, Settings, Source
from elicit.pair._sharing import twin_of
from elicit.pair.errors import PairError, reason
from elicit.pair.handles import Bridge, HuggingFaceModel, Tokenizer

# The tokenizer of each bridge that was wrapped here, as it was: the bridge keeps a copy that the
# library may have changed, so a bridge that is passed back gets the unchanged one.
_TOKENIZERS: "WeakKeyDictionary[nn.Module, Tokenizer]" = WeakKeyDictionary()


def locate(
    what: str | Path | Bridge | OrganismModel,
    role: str,
    settings: Settings,
    *,
    revision: str | None,
    base: Source | None = None,
) -> Source:
    """Find a model and read its configuration and tokenizer, not yet its weights.

    `base`: the base that an adapter belongs to; None while the base itself is located.

    Raises:
        PairError: There is no such model, or it cannot be used in this role.
    """
    if isinstance(what, OrganismModel):
        return _organism(what, settings)
    if isinstance(what, nn.Module):
        return _held(what, role)
    if not isinstance(what, str | Path):
        raise PairError(
            f"{role} is a {type(what).__name__}; a model is a hub id, a directory, an organism's "
            "name or a TransformerBridge."
        )
    name = str(what)
    if organisms.is_organism(name):
        return _organism(organisms.resolve_model(name), settings)
    if name.startswith("~"):
        name = str(Path(name).expanduser())
    _check_path(name, role)
    adapter = find_adapter(name, revision=revision)
    if adapter is not None:
        return _adapter(name, role, adapter, settings, revision=revision, base=base)
    return checkpoint(name, settings, revision=revision)


def _check_path(name: str, role: str) -> None:
    """Refuse a path that is not there, before it is looked up on the hub as an id."""
    path = Path(name)
    looks_local = name.startswith((".", "/")) or "\\" in name or name.count("/") > 1
    if not path.exists():
        if looks_local:
            raise PairError(f"{role} is {name!r}, and there is no such directory. Check the path.")
        return
    if not path.is_dir():
        raise PairError(
            f"{role} is {name!r}, which is a file; a model is a directory with config.json and "
            "weights. Pass the directory."
        )
    if not any((path / file).exists() for file in ("config.json", "adapter_config.json")):
        raise PairError(
            f"{role} is {name!r}, which holds neither config.json nor adapter_config.json, so it "
            "is no model. Pass a directory that `save_pretrained` wrote."
        )


def _adapter(
    name: str,
    role: str,
    file: Path,
    settings: Settings,
    *,
    revision: str | None,
    base: Source | None,
) -> Source:
    """A PEFT adapter, to be merged into a fresh copy of the base, or into a twin that shares it."""
    with explained("adapter configuration", name):
        trained_on = json.loads(file.read_bytes()).get("base_model_name_or_path")
    if base is None:
        raise PairError(
            f"{role} is {name!r}, an adapter and not a model. Pass the model it was trained on "
            f"({trained_on!r}) as base and the adapter as post."
        )

    def merged() -> tuple[HuggingFaceModel, tuple[str, ...]]:
        whole, of_base = base.open()
        if hasattr(whole, "original_model"):
            raise PairError(
                f"base is a TransformerBridge and post the adapter {name!r}; merging would change "
                "the weights of the bridge in your hands. Pass base by its directory or hub id."
            )
        model, of_adapter = put_on(cast(HuggingFaceModel, whole))
        return model, (*of_base, *of_adapter)

    def put_on(plain: HuggingFaceModel) -> tuple[HuggingFaceModel, tuple[str, ...]]:
        adapted, notes = open_adapter(plain, name, settings, revision=revision, rows=rows)
        return merge_adapter(adapted, name), notes

    def beside(loaded: HuggingFaceModel) -> tuple[HuggingFaceModel, tuple[str, ...]]:
        shares = leaves_base(name, revision=revision)
        return put_on(twin_of(loaded)) if shares else merged()

    config, rows = base.config, brought_rows(file.parent)
    if rows is not None and rows != text_config(config).vocab_size:
        config = copy.deepcopy(config)
        text_config(config).vocab_size = rows
    tokenizer, notes = None, ()
    folder = Path(name)
    if folder.is_dir() and (folder / "tokenizer.json").exists():
        tokenizer, notes = tokenizer_of(name, base.config, settings, revision=revision)
    if trained_on not in (None, base.name):
        notes = (*notes, f"The adapter names {trained_on!r} as its base; here it is {base.name!r}.")
    return replace(
        base,
        name=name,
        config=config,
        tokenizer=tokenizer if tokenizer is not None else base.tokenizer,
        open=merged,
        beside=beside,
        notes=notes,
        adapter=True,
    )


def _organism(organism: OrganismModel, settings: Settings) -> Source:
    """One of the models that come with the package."""
    model, tokenizer = organisms.open_model(organism)
    fresh = [model]

    def opened() -> tuple[HuggingFaceModel, tuple[str, ...]]:
        # Wrapping is in place, so a model is returned once; a second request (an adapter, which
        # changes its base) gets a copy of its own.
        whole = fresh.pop() if fresh else organisms.open_model(organism)[0]
        return whole.to(settings.dtype).eval(), ()  # pyright: ignore[reportArgumentType]

    return Source(name=organism.name, config=model.config, tokenizer=tokenizer, open=opened)


def _held(bridge: nn.Module, role: str) -> Source:
    """A bridge that the user already has, used as it is."""
    from transformer_lens.model_bridge import TransformerBridge

    if not isinstance(bridge, TransformerBridge):
        raise PairError(
            f"{role} is a {type(bridge).__name__}; only a TransformerBridge is accepted as a "
            "loaded model. Pass the model's directory or hub id."
        )
    if bridge.compatibility_mode:
        raise PairError(
            f"{role} is a bridge in compatibility mode, whose folded and centred weights are "
            "another basis in each model, so the two cannot be compared. Boot it again and do not "
            "call enable_compatibility_mode."
        )
    name = str(bridge.cfg.model_name)
    note = f"{name} was a loaded bridge; its logits were not compared with a plain model's."
    return Source(
        name=name,
        config=bridge.original_model.config,  # pyright: ignore[reportArgumentType]
        tokenizer=_held_tokenizer(bridge, name, role),
        open=lambda: (bridge, ()),
        notes=() if bridge in _TOKENIZERS else (note,),
    )


def _held_tokenizer(bridge: Bridge, name: str, role: str) -> Tokenizer:
    """The tokenizer of a bridge before the bridge made it add bos."""
    if bridge in _TOKENIZERS:
        return _TOKENIZERS[bridge]
    from transformers import AutoTokenizer

    copy = bridge.tokenizer
    found = str(getattr(copy, "name_or_path", "") or name)
    try:
        return AutoTokenizer.from_pretrained(found)
    except (OSError, ValueError) as error:
        raise PairError(
            f"The tokenizer of {role} cannot be loaded from {found!r} ({reason(error)}), and the "
            "bridge's own copy adds bos to every text, so it cannot be used. Pass the model's "
            "directory or hub id."
        ) from error


def stored_dtype(
    what: str | Path | Bridge | OrganismModel, loading: Loading, *, revision: str | None
) -> torch.dtype | None:
    """Precision that a checkpoint's configuration names; None for what has none of its own.

    A model that cannot be found gives None too: locating it says why.
    """
    if isinstance(what, nn.Module | OrganismModel) or organisms.is_organism(str(what)):
        return None
    from transformers import AutoConfig

    if find_adapter(str(what), revision=revision) is not None:
        return None  # merged into the base
    try:
        config = AutoConfig.from_pretrained(
            str(what), trust_remote_code=loading.trust_remote_code, revision=revision
        )
    except (OSError, ValueError):
        return None
    named = text_config(config).dtype or config.dtype
    return getattr(torch, named) if isinstance(named, str) else named


def remember_tokenizer(bridge: Bridge, tokenizer: Tokenizer) -> None:
    """Keep a bridge's unchanged tokenizer for as long as the bridge lives."""
    _TOKENIZERS[bridge] = tokenizer
