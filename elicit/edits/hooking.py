"""Put hooks of edits on a model, each to be taken off when a stack closes."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from elicit.edits.errors import EditError
from elicit.edits.values import Edit, MaskAttention
from elicit.sites import Shape, attn_out, pattern

Hook = Callable[..., Tensor | None]


def scores(layer: int) -> str:
    """Hook point of a layer's attention scores; no site, for only masks are put there."""
    return pattern(layer).hook.replace("hook_pattern", "hook_attn_scores")


def check_site(edit: Edit, shape: Shape, points: Mapping[str, Any]) -> None:
    """Refuse an edit at a place that the model does not have.

    Args:
        edit: What shall be made.
        shape: What the model has.
        points: The model's hook points by name.

    Raises:
        SiteError: A layer or head is out of range.
        EditError: The model has no hook point of the name.
    """
    if isinstance(edit, MaskAttention):
        shape.check([pattern(layer, h) for layer in edit.layers for h in edit.heads or (None,)])
        names = [scores(layer) for layer in edit.layers]
    else:
        shape.check([edit.site])
        written = attn_out(edit.site.layer) if edit.site.kind == "resid_mid" else edit.site
        names = [written.hook]
    for name in names:
        # TransformerLens 3.9 runs on without a word where a name is unknown.
        if name not in points:
            raise EditError(
                f"{edit} is at {name}, and this model has no hook point of that name, so nothing "
                "would happen. Use a bridge in raw mode of an architecture that has one."
            )


def add_hook(hooks: ExitStack, point: Any, made: Hook) -> None:
    """Put one hook on, so that a reset of the user's own hooks leaves it.

    Args:
        hooks: Takes it off.
        point: TransformerLens hook point.
        made: Gives the new activation, or None for the old one.
    """
    point.add_hook(made, is_permanent=True)
    handle = point.fwd_hooks[-1]

    def remove() -> None:
        handle.hook.remove()
        point.fwd_hooks = [other for other in point.fwd_hooks if other is not handle]

    hooks.callback(remove)


def add_resid_mid_hook(hooks: ExitStack, model: nn.Module, layer: int, made: Hook) -> None:
    """Write the residual stream between attention and MLP by what attention adds to it.

    The bridge's own hook there feeds the MLP alone: the skip connection would keep the old stream.
    So the change is added to attn_out, as the last thing that happens to it.

    Args:
        hooks: Takes the hooks off.
        model: A bridge in raw mode.
        layer: Whose residual stream.
        made: Gives the new residual stream, or None for the old one.
    """
    entered: list[Tensor] = []

    def enter(_block: nn.Module, args: tuple, kwargs: dict) -> None:
        entered[:] = [args[0] if args else kwargs["hidden_states"]]

    def leave(_attention: nn.Module, _args: tuple, output: Any) -> Any:
        added = output[0] if isinstance(output, tuple) else output
        before = entered.pop() + added
        after = made(before)
        if after is None:
            return None
        work = torch.promote_types(added.dtype, torch.float32)
        # Where nothing is edited the difference is 0 and attn_out keeps its bits.
        new = (added.to(work) + (after.to(work) - before.to(work))).to(added.dtype)
        return (new, *output[1:]) if isinstance(output, tuple) else new

    block: Any = model.blocks[layer]  # pyright: ignore[reportIndexIssue]
    points: Any = model.hook_dict
    last_module = model.get_submodule(points[attn_out(layer).hook].name.rpartition(".")[0])
    # Below the block's own hook point, so that edits of resid_pre have been made.
    stream = block.original_component.register_forward_pre_hook(enter, with_kwargs=True)
    hooks.callback(stream.remove)
    hooks.callback(last_module.register_forward_hook(leave).remove)
