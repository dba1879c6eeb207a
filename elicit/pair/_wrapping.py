"""A plain Hugging Face model in a bridge."""

import copy

import torch
from torch import nn

from elicit.pair._settings import Settings
from elicit.pair._sources import remember_tokenizer
from elicit.pair.errors import PairError, reason
from elicit.pair.handles import Bridge, HuggingFaceModel, Tokenizer


def boot(model: HuggingFaceModel, tokenizer: Tokenizer, name: str, settings: Settings) -> Bridge:
    """A raw-mode bridge around a plain model, in place.

    Raises:
        PairError: TransformerLens does not know the architecture.
    """
    from transformer_lens.model_bridge import TransformerBridge

    if not model.config.architectures:
        model.config.architectures = [type(model).__name__]
    # The bridge changes the tokenizer it is given and, unless that says it adds bos already, loads
    # another one by name. It gets a copy that says so; nothing in this package tokenizes with it.
    spare = copy.deepcopy(tokenizer)
    spare.init_kwargs = {"name_or_path": name, **spare.init_kwargs, "add_bos_token": True}
    try:
        bridge = TransformerBridge.boot_transformers(
            name,
            hf_model=model,
            tokenizer=spare,
            dtype=settings.dtype,
            device=str(settings.home) if settings.loading.device_map is None else None,
        )
    except (ValueError, AttributeError, NotImplementedError) as error:
        raise PairError(
            f"TransformerLens cannot wrap {name}, a {type(model).__name__}: {reason(error)} Pass "
            "models of an architecture that it supports."
        ) from error
    bridge.eval()
    _keep_dtype_of_heads(bridge)
    remember_tokenizer(bridge, tokenizer)
    return bridge


def _keep_dtype_of_heads(bridge: Bridge) -> None:
    """Hand rotated queries and keys on in the model's own precision.

    OLMo-2 keeps its angles in float32 and casts what it has rotated back; TransformerLens's
    rewritten attention forgets the cast and then cannot mix half-precision values.
    """

    def cast(module: nn.Module, _args: tuple, rotated: torch.Tensor) -> torch.Tensor:
        return rotated.to(bridge.cfg.dtype)

    # Whoever refuses a model with hooks on it may let this one pass.
    cast.keeps_values = True  # pyright: ignore[reportFunctionMemberAccess]
    if bridge.cfg.dtype in (torch.bfloat16, torch.float16):
        for block in bridge.blocks:
            for name in ("hook_rot_q", "hook_rot_k"):
                point = getattr(block.attn, name, None)
                if isinstance(point, nn.Module):
                    point.register_forward_hook(cast)
