"""Whether a model's state between two tokens is one that the token loop can keep."""

from typing import Any

from torch import nn

from elicit.rollouts.errors import RolloutError

_SWITCHING = ("phi3", "phimoe")
"""Families whose generate reads a text again once it is longer than `longrope`'s first factors."""


def check_cache(model: nn.Module) -> int | None:
    """Refuse a model whose own generate does more than go on from keys and values.

    Returns:
        Length of a text after which it is read again from its start; None if it never is.

    Raises:
        RolloutError: The model keeps another kind of state, or prepares its inputs in its own way.
    """
    from transformers import DynamicCache, GenerationMixin
    from transformers.cache_utils import DummyLayer, DynamicLayer, DynamicSlidingWindowLayer

    config: Any = model.config
    kind = str(getattr(config, "model_type", ""))
    cache = DynamicCache(config=config)
    known = (DynamicLayer, DynamicSlidingWindowLayer, DummyLayer)
    strange = {type(layer).__name__ for layer in cache.layers if type(layer) not in known}
    if "chunked_attention" in (getattr(config.get_text_config(), "layer_types", None) or ()):
        strange.add("chunks of attention that begin at fixed columns")
    if strange or getattr(model, "_is_stateful", False):
        raise RolloutError(
            f"{kind} keeps {', '.join(sorted(strange)) or 'a recurrent state'} between two tokens, "
            "and texts are written here with keys and values alone, so they would not be those of "
            "its own generate. Write texts with generate, and read them as given texts."
        )
    prepare = getattr(type(_without_adapter(model)), "prepare_inputs_for_generation", None)
    if kind in _SWITCHING:
        return getattr(config, "original_max_position_embeddings", None)
    usual = getattr(GenerationMixin, "prepare_inputs_for_generation")  # noqa: B009
    if prepare not in (None, usual):
        raise RolloutError(
            f"{kind} prepares its inputs for generation in its own way, which is not known here, "
            "so texts might not be those of its own generate. Write texts with generate, and read "
            "them as given texts."
        )
    return None


def _without_adapter(model: nn.Module) -> nn.Module:
    """The model inside a PEFT wrapper, whose own inputs are those of the model it wraps.

    Adapters that put virtual tokens before the prompt do change the inputs: their wrapper stays.
    """
    kinds = getattr(model, "peft_config", None)
    if not hasattr(model, "get_base_model") or not isinstance(kinds, dict):
        return model
    if any(kind.is_prompt_learning for kind in kinds.values()):
        return model
    return model.get_base_model()  # pyright: ignore[reportCallIssue]
