"""Whether a model's forward depends on its weights alone."""

from typing import Any

from torch import nn

from elicit.edits import active
from elicit.pair import hugging_face_model

_WATCHERS = ("transformer_lens.model_bridge", "transformers.utils.output_capturing")


def modifications_of(model: nn.Module) -> str | None:
    """What changes the model's forward besides its weights, as a clause; None if nothing does."""
    if model.training:
        return "is in training mode, so dropout changes its activations from run to run"
    if active(model) is not None:
        return "is under edits"
    points: Any = model.hook_dict
    blocks: Any = model.blocks
    inner = dict(hugging_face_model(model).named_modules(prefix="model"))
    outer = {f"blocks.{layer}": block for layer, block in enumerate(blocks)}
    watched = {**points, **outer, **inner}
    for name, module in watched.items():
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if not all(_is_bridge_hook(hook) for hook in hooks):
            return f"has a hook at {name}"
    return None


def _is_bridge_hook(hook: object) -> bool:
    """Whether a hook belongs to the bridge itself and leaves values unchanged."""
    # TransformerLens watches the inputs of norms for forks that are off in raw mode, transformers
    # keeps what it was once set to return; neither changes a value.
    theirs = str(getattr(hook, "__module__", "")).startswith(_WATCHERS)
    return theirs or getattr(hook, "keeps_values", False)
