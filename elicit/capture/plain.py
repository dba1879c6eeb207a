"""Whether a model's forward is that of its weights alone."""

from typing import Any

from torch import nn

from elicit.edits import active
from elicit.pair import hugging_face_model

_WATCHERS = ("transformer_lens.model_bridge", "transformers.utils.output_capturing")


def modifications_of(model: nn.Module) -> str | None:
    """What would make the model's own forward another than its weights say; None if nothing does.

    Args:
        model: A bridge in raw mode.
    """
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
        if not all(_is_own(hook) for hook in hooks):
            return f"has a hook at {name}"
    return None


def _is_own(hook: object) -> bool:
    """Whether a hook belongs to the wrapping itself and leaves values as they are."""
    # TransformerLens watches the inputs of norms for forks that are off in raw mode, transformers
    # keeps what it was once asked to return; neither changes a value.
    theirs = str(getattr(hook, "__module__", "")).startswith(_WATCHERS)
    return theirs or getattr(hook, "keeps_values", False)
