"""A PEFT adapter as a post-trained model: checked against the base, then merged into it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from elicit.pair._checks import VOCABULARY
from elicit.pair._guards import explained, refuse_pickled
from elicit.pair._parity import plain_logits
from elicit.pair._settings import Settings
from elicit.pair._tensors import unread
from elicit.pair.errors import PairError, reason
from elicit.pair.handles import HuggingFaceModel

if TYPE_CHECKING:
    from peft import PeftModel as Adapted
else:
    Adapted = nn.Module

MERGE_TOLERANCE = 1e-5
"""Largest difference in a logit between the merged and the unmerged adapter in float32, relative to
the largest logit where that is beyond 1."""
_HALF_MERGE_TOLERANCE = 0.05
"""The same in half precision, where merging rounds every weight once more."""


def find_adapter(source: str, *, revision: str | None) -> Path | None:
    """The adapter's configuration file, or None if `source` is no adapter."""
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        found = find_adapter_config_file(source, revision=revision)
    except (OSError, ValueError):
        return None  # unreachable or no such id: loading it as a model says so
    return Path(found) if found is not None else None


@contextmanager
def _unwarned() -> Iterator[None]:
    """Silence what PEFT warns about: missing and unused tensors are checked here and refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_adapter(
    base: HuggingFaceModel,
    source: str,
    settings: Settings,
    *,
    revision: str | None,
    rows: int | None = None,
) -> tuple[Adapted, tuple[str, ...]]:
    """The base with the adapter on it, not merged, so that it can still be switched off.

    `base`: a plain model of its own for this adapter, which PEFT wraps in place; `rows`: of the
    vocabulary that the adapter brings. Gives the adapted model and notes on tensors left out.

    Raises:
        PairError: The adapter adds no weights, targets modules the base has not, has another
            width, lacks tensors that its configuration names, or holds tensors that find no place.
    """
    from peft import PeftConfig, PeftModel
    from peft.utils import load_peft_weights
    from transformers.utils.hub import cached_file

    refuse_pickled(source, "adapter_model")
    with explained("adapter configuration", source):
        config = PeftConfig.from_pretrained(source, revision=revision)
        config.inference_mode = True
    if getattr(config, "megatron_config", None) is not None:
        module = vars(config).get("megatron_core")
        raise PairError(
            f"The adapter {source} names a module to import ({module!r}), and a file must not "
            "choose what is imported. Remove megatron_config from its configuration if it was not "
            "trained with Megatron."
        )
    with explained("adapter weights", source):
        if not Path(source).is_dir():
            # Asked for by name: PEFT would otherwise go on to a pickle of the same hub id.
            cached_file(source, "adapter_model.safetensors", revision=revision)
        tensors = load_peft_weights(source, device="cpu", revision=revision)
    if config.is_prompt_learning:
        raise PairError(
            f"{source} is a {config.peft_type} adapter, which adds inputs and not weights, so "
            "there is no post-trained weight to compare with base's. Pass an adapter that can be "
            "merged."
        )
    _check_widths(base, tensors, source)
    try:
        with _unwarned():
            if rows is not None and rows != base.config.get_text_config().vocab_size:
                base.resize_token_embeddings(rows, mean_resizing=False)
            # Low-rank factors on one of two tied matrices are trained for that one alone.
            if not getattr(config, "ensure_weight_tying", False) and _on_vocabulary(tensors):
                untie(base)
            adapted = PeftModel(base, config).eval()
            landed = adapted.load_adapter(source, "default", torch_device="cpu", revision=revision)
    except MemoryError:
        raise
    except Exception as error:  # PEFT meets a foreign configuration with errors of many classes
        raise PairError(
            f"The adapter {source} does not fit this base: {reason(error)} It was trained on "
            f"{config.base_model_name_or_path!r}; pass that model as base."
        ) from error
    lacking = [n for n in landed.missing_keys if not any(part in n for part in _SHARED)]
    if lacking:
        raise PairError(
            f"The adapter {source} lacks {lacking[0]} ({len(lacking)} such tensors), which its "
            "configuration names, so that part would stay untrained. Save the adapter again with "
            "the model it was trained on."
        )
    targets = getattr(config, "target_modules", None)
    why = f"its target modules {targets} put nowhere in this base"
    return adapted, unread(source, landed.unexpected_keys, settings, why)


def leaves_base(source: str, *, revision: str | None) -> bool:
    """Whether an adapter is put on and merged without a write into the base's tensors.

    LoRA merges into a copy of each matrix, and modules that it brings whole stand beside base's.
    Its other kinds, some initialisations, and biases or embeddings that the file holds beside the
    factors are written into the base in place.
    """
    from peft import LoraConfig, PeftConfig
    from safetensors import safe_open
    from transformers.utils.hub import cached_file

    with explained("adapter weights", source):
        config = PeftConfig.from_pretrained(source, revision=revision)
        file = cached_file(source, "adapter_model.safetensors", revision=revision)
        with safe_open(str(file), framework="pt") as opened:
            names = list(opened.keys())
    if not isinstance(config, LoraConfig):
        return False
    whole = tuple(config.modules_to_save or ())
    factors = all(".lora_" in n or n.rpartition(".")[0].endswith(whole) for n in names)
    return (
        factors and config.bias == "none" and config.init_lora_weights in (True, False, "gaussian")
    )


def _on_vocabulary(tensors: dict[str, Tensor]) -> bool:
    """Whether low-rank factors change the embedding or the unembedding."""
    modules = (name.partition(".lora_")[0] for name in tensors if ".lora_" in name)
    return any(module.endswith(VOCABULARY) for module in modules)


def has_own_head(model: nn.Module) -> bool:
    """Whether a plain model's unembedding is another tensor than its embedding."""
    plain = cast(HuggingFaceModel, model)
    head = plain.get_output_embeddings()
    return head is None or head.weight is not plain.get_input_embeddings().weight


def untie(model: nn.Module) -> bool:
    """Give a plain model an unembedding of its own if it shares its embedding; whether it did."""
    if has_own_head(model):
        return False
    plain = cast(HuggingFaceModel, model)
    rows = plain.get_input_embeddings().get_parameter("weight")
    head = cast(nn.Module, plain.get_output_embeddings())
    head.weight = nn.Parameter(rows.detach().clone(), requires_grad=rows.requires_grad)
    plain.config.tie_word_embeddings = plain.config.get_text_config().tie_word_embeddings = False
    return True


_SHARED = ("vblora_vector_bank", "tinylora_v", "unilora_theta_d")
"""Parameters that PEFT keeps once and lists as missing where layers refer to them."""


def brought_rows(folder: Path) -> int | None:
    """Rows of the embedding or unembedding that an adapter brings whole; None if it brings none."""
    from safetensors import safe_open

    path = folder / "adapter_model.safetensors"
    if not path.exists():
        return None
    with explained("adapter weights", str(folder)), safe_open(path, framework="pt") as file:
        for name in list(file.keys()):
            module, _, kind = name.rpartition(".")
            if kind == "weight" and module.removesuffix(".base_layer").endswith(VOCABULARY):
                return int(file.get_slice(name).get_shape()[0])
    return None


def _check_widths(base: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Refuse low-rank factors for a module that the base has not, or has in another width."""
    modules = dict(base.named_modules())
    for name, tensor in tensors.items():
        path, factor, _ = name.removeprefix("base_model.model.").partition(".lora_")
        if not factor or tensor.ndim != 2 or "lora_embedding" in name:
            continue
        module = modules.get(path.removesuffix(".base_layer"))
        weight = getattr(module, "weight", None)
        if module is not None and weight is None and module._parameters:
            continue  # experts in one tensor: PEFT compares their shapes
        if not isinstance(weight, Tensor):
            raise PairError(
                f"The adapter {source} changes {path}, and base has no such weight, so the adapter "
                "was trained on another model. Pass that model as base."
            )
        transposed = type(module).__name__ == "Conv1D"
        outputs, inputs = reversed(weight.shape) if transposed else weight.shape
        if ".lora_A" in name and tensor.shape[1] != inputs:
            raise PairError(
                f"The adapter {source} reads {tensor.shape[1]} numbers at {path}, and base has "
                f"{inputs} there, so the adapter was trained on a model of another width. Pass "
                "that model as base."
            )
        if ".lora_B" in name and tensor.shape[0] != outputs:
            raise PairError(
                f"The adapter {source} writes {tensor.shape[0]} numbers at {path}, and base has "
                f"{outputs} there, so the adapter was trained on a model of another width. Pass "
                "that model as base."
            )


def merge_adapter(adapted: Adapted, source: str) -> HuggingFaceModel:
    """The adapter merged into its base's weights, checked to compute the same as unmerged.

    `adapted`: what `open_adapter` gave; used up.

    Raises:
        PairError: The adapter cannot be merged, or merging changes the logits.
    """
    merge = getattr(adapted.base_model, "merge_and_unload", None)
    if merge is None:
        raise PairError(
            f"{source} is an adapter of the kind {type(adapted.base_model).__name__}, which cannot "
            "be merged into weights, so its parts cannot be compared with base's. Pass an adapter "
            "that can be merged, e.g. LoRA."
        )
    unmerged = plain_logits(cast(HuggingFaceModel, adapted.get_base_model()))
    try:
        with _unwarned():
            merged = merge(safe_merge=True)
    except ValueError as error:
        raise PairError(
            f"The adapter {source} cannot be merged: {reason(error)} Its weights are damaged; save "
            "it again."
        ) from error
    except (NotImplementedError, AttributeError, KeyError, TypeError) as error:
        raise PairError(
            f"The adapter {source} cannot be merged into weights: {reason(error)} So its parts "
            "cannot be compared with base's. Pass an adapter that can be merged, e.g. plain LoRA."
        ) from error
    merged = merged.eval()
    difference, size = _difference(merged, unmerged.logits)
    half = unmerged.logits.dtype in (torch.float16, torch.bfloat16)
    tolerated = (_HALF_MERGE_TOLERANCE if half else MERGE_TOLERANCE) * max(1.0, size)
    if not difference <= tolerated:
        raise PairError(
            f"Merging the adapter {source} moves a logit by {difference:.3g} (at most "
            f"{tolerated:.3g} is rounding), so the merged model is not the adapted one. "
            f"{'Load with dtype=torch.float32, or merge' if half else 'Merge'} it yourself and "
            "pass the merged directory."
        )
    return merged


def _difference(model: HuggingFaceModel, unmerged: Tensor) -> tuple[float, float]:
    """Largest difference in a logit on the probe rows, and the largest logit."""
    now = plain_logits(model)
    real = now.rows.real
    there = unmerged[real].float()
    return (now.logits[real].float() - there).abs().max().item(), there.abs().max().item()
