"""Whether a model's forward is that of its weights alone."""

from typing import Any

from torch import nn

from elicit.edits import active


def what_touches(model: nn.Module) -> str | None:
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
    watched = {**points, **{f"blocks.{layer}": block for layer, block in enumerate(blocks)}}
    for name, module in watched.items():
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if any(not getattr(hook, "keeps_values", False) for hook in hooks):
            return f"has a hook at {name}"
    return None
