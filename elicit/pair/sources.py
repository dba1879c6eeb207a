"""Where a model comes from: a directory, the hub, an adapter, an organism, or a bridge in hand."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from weakref import WeakKeyDictionary

import torch
from torch import nn

from elicit import organisms
from elicit.organisms import OrganismModel
from elicit.pair.adapters import find_adapter, merge_adapter, open_adapter
from elicit.pair.errors import PairError, reason
from elicit.pair.guards import explained
from elicit.pair.handles import Bridge, Config, HuggingFaceModel, Tokenizer

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
)

# The tokenizer of each bridge that was wrapped here, as it was: the bridge keeps a copy that the
# library may have changed, so whoever passes such a bridge back gets the unchanged one.
_TOKENIZERS: "WeakKeyDictionary[nn.Module, Tokenizer]" = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Settings:
    """How both models are loaded, alike."""

    device: str | torch.device
    dtype: torch.dtype
    device_map: str | dict[str, str | int] | None
    trust_remote_code: bool
    attn_implementation: str


@dataclass(frozen=True, eq=False)
class Source:
    """A model before its weights are read: enough to refuse it early."""

    name: str
    """As the user gave it."""
    config: Config
    """Its full configuration."""
    tokenizer: Tokenizer | None
    """Its own tokenizer; None if it brings none."""
    open: Callable[[], HuggingFaceModel | Bridge]
    """Reads the weights: a plain model, or the bridge that the user holds."""
    notes: tuple[str, ...] = ()
    """What was unusual about it, a sentence each."""
    adapter: bool = False
    """Whether it is an adapter on the base."""


def locate(
    what: str | Path | Bridge | OrganismModel,
    role: str,
    settings: Settings,
    *,
    revision: str | None,
    base: Source | None = None,
) -> Source:
    """Find a model and read its configuration and tokenizer, not yet its weights.

    Args:
        what: Hub id, directory, adapter, organism or bridge.
        role: `base` or `post`, for errors.
        settings: How to load it.
        revision: Branch, tag or commit on the hub.
        base: The base that an adapter goes on; None while the base itself is located.

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
    return _checkpoint(name, settings, revision=revision)


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


def _checkpoint(name: str, settings: Settings, *, revision: str | None) -> Source:
    """A full model in a directory or on the hub."""
    from transformers import AutoConfig

    with explained("configuration", name):
        config = AutoConfig.from_pretrained(
            name, trust_remote_code=settings.trust_remote_code, revision=revision
        )
    tokenizer, notes = _tokenizer(name, config, settings, revision=revision)
    return Source(
        name=name,
        config=config,
        tokenizer=tokenizer,
        open=lambda: _weights(name, settings, revision=revision),
        notes=notes,
    )


def _tokenizer(
    name: str, config: Config, settings: Settings, *, revision: str | None
) -> tuple[Tokenizer | None, tuple[str, ...]]:
    """A checkpoint's own tokenizer, or None if it is a directory without one."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    folder = Path(name)
    if folder.is_dir() and not any((folder / file).exists() for file in _TOKENIZER_FILES):
        return None, ()
    with explained("tokenizer", name):
        # With the configuration given: an adapter's folder has a tokenizer and no config.json.
        tokenizer = AutoTokenizer.from_pretrained(
            name,
            config=config,
            trust_remote_code=settings.trust_remote_code,
            revision=revision,
        )
    # For some families (Qwen2, Phi-3) AutoTokenizer builds the family's usual tokenizer whatever
    # the checkpoint says, which reads a checkpoint with another kind of vocabulary as nonsense.
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


def _weights(name: str, settings: Settings, *, revision: str | None) -> HuggingFaceModel:
    """The plain model of a checkpoint, all of whose weights came from the checkpoint."""
    from transformers import AutoModelForCausalLM

    with explained("weights", name):
        loaded = AutoModelForCausalLM.from_pretrained(
            name,
            dtype=settings.dtype,
            attn_implementation=settings.attn_implementation,
            trust_remote_code=settings.trust_remote_code,
            output_loading_info=True,
            revision=revision,
            device_map=settings.device_map,
        )
    # With `output_loading_info` there are two things, which the annotation does not say.
    model, info = cast(tuple[HuggingFaceModel, dict[str, Collection[str]]], loaded)
    missing = sorted(info["missing_keys"])
    if missing:
        raise PairError(
            f"The weights of {name} lack {missing[0]} ({len(missing)} parameter(s)), which would "
            "be random numbers instead. Pass a complete checkpoint of a causal language model."
        )
    return text_only(model.eval())


def text_only(model: HuggingFaceModel) -> HuggingFaceModel:
    """The language model of a Gemma-3 with vision, sharing its weights; any other model as it is.

    Wrapped whole it would need an image processor, for which TransformerLens tries to install
    packages.

    Args:
        model: A plain model in eval mode.
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


def _adapter(
    name: str,
    role: str,
    file: Path,
    settings: Settings,
    *,
    revision: str | None,
    base: Source | None,
) -> Source:
    """A PEFT adapter, to be merged into a fresh copy of the base."""
    with explained("adapter configuration", name):
        trained_on = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
    if base is None:
        raise PairError(
            f"{role} is {name!r}, an adapter and not a model. Pass the model it was trained on "
            f"({trained_on!r}) as base and the adapter as post."
        )

    def merged() -> HuggingFaceModel:
        whole = base.open()
        if hasattr(whole, "original_model"):
            raise PairError(
                f"base is a TransformerBridge and post the adapter {name!r}; merging would change "
                "the weights of the bridge in your hands. Pass base by its directory or hub id."
            )
        plain = cast(HuggingFaceModel, whole)
        return merge_adapter(open_adapter(plain, name, revision=revision), name)

    tokenizer, notes = None, ()
    folder = Path(name)
    if folder.is_dir() and (folder / "tokenizer.json").exists():
        tokenizer, notes = _tokenizer(name, base.config, settings, revision=revision)
    if trained_on not in (None, base.name):
        notes = (*notes, f"The adapter names {trained_on!r} as its base; here it is {base.name!r}.")
    return replace(
        base,
        name=name,
        tokenizer=tokenizer if tokenizer is not None else base.tokenizer,
        open=merged,
        notes=notes,
        adapter=True,
    )


def _organism(organism: OrganismModel, settings: Settings) -> Source:
    """One of the models that come with the package."""
    model, tokenizer = organisms.open_model(organism)
    fresh = [model]

    def opened() -> HuggingFaceModel:
        # Wrapping is in place, so a model is handed out once; whoever asks again (an adapter, which
        # changes its base) gets a copy of its own.
        whole = fresh.pop() if fresh else organisms.open_model(organism)[0]
        return whole.to(settings.dtype).eval()  # pyright: ignore[reportArgumentType]

    return Source(name=organism.name, config=model.config, tokenizer=tokenizer, open=opened)


def _held(bridge: nn.Module, role: str) -> Source:
    """A bridge that the user already has, used as it is."""
    from transformer_lens.model_bridge import TransformerBridge

    if not isinstance(bridge, TransformerBridge):
        raise PairError(
            f"{role} is a {type(bridge).__name__}; only a TransformerBridge is taken as a model in "
            "hand. Pass the model's directory or hub id."
        )
    if bridge.compatibility_mode:
        raise PairError(
            f"{role} is a bridge in compatibility mode, whose folded and centred weights are "
            "another basis in each model, so the two cannot be compared. Boot it again and do not "
            "call enable_compatibility_mode."
        )
    name = str(bridge.cfg.model_name)
    note = f"{name} was a bridge in hand; its logits were not compared with a plain model's."
    return Source(
        name=name,
        config=bridge.original_model.config,  # pyright: ignore[reportArgumentType]
        tokenizer=_held_tokenizer(bridge, name, role),
        open=lambda: bridge,
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


def remember_tokenizer(bridge: Bridge, tokenizer: Tokenizer) -> None:
    """Keep a bridge's unchanged tokenizer for as long as the bridge lives."""
    _TOKENIZERS[bridge] = tokenizer
