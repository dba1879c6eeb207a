"""Put hooks of edits on a model, each to be taken off when a stack closes."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from elicit.edits.errors import EditError
from elicit.edits.values import Edit, MaskAttention
from elicit.sites import Shape, pattern, resid_mid
from elicit.surroundings import make_guest

Hook = Callable[..., Tensor | None]


def scores(layer: int) -> str:
    """Hook point of a layer's attention scores; no site, for only masks are put there."""
    return pattern(layer).hook.replace("hook_pattern", "hook_attn_scores")


def check_site(edit: Edit, shape: Shape, points: Mapping[str, Any]) -> None:
    """Refuse an edit at a place that the model does not have.

    Raises:
        SiteError: A layer or head is out of range.
        EditError: The model has no hook point of the name.
    """
    if isinstance(edit, MaskAttention):
        shape.check([pattern(layer, h) for layer in edit.layers for h in edit.heads or (None,)])
        names = [scores(layer) for layer in edit.layers]
    else:
        shape.check([edit.site])
        names = [edit.site.hook]
    for name in names:
        # TransformerLens 3.9 runs on without a word where a name is unknown.
        if name not in points:
            raise EditError(
                f"{edit} is at {name}, and this model has no hook point of that name, so nothing "
                "would happen. Use a bridge in raw mode of an architecture that has one."
            )


def add_hook(hooks: ExitStack, point: Any, made: Hook) -> None:
    """Put one hook on, so that a reset of the user's own hooks leaves it."""
    point.add_hook(made, is_permanent=True)
    handle = point.fwd_hooks[-1]
    make_guest(point._forward_hooks[handle.hook.id])

    def remove() -> None:
        handle.hook.remove()
        point.fwd_hooks = [other for other in point.fwd_hooks if other is not handle]

    hooks.callback(remove)


def add_resid_mid_hook(hooks: ExitStack, model: nn.Module, layer: int, made: Hook) -> None:
    """Overwrite the residual stream between attention and MLP, on both of its ways.

    The bridge's own hook there feeds the MLP alone, and the skip connection keeps the old stream.
    Both read one tensor, fresh from an addition that nothing else needs, so the new values are
    written into it: exact, whatever the old ones were.
    """

    def enter(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        stream = args[0] if args else kwargs["hidden_states"]
        # What the edit computes with must not be what is overwritten, or gradients would be lost.
        new = made(stream.clone())
        if new is not None:
            stream.copy_(new)

    points: Any = model.hook_dict
    reader = model.get_submodule(points[resid_mid(layer).hook].name.rpartition(".")[0])
    make_guest(enter)
    hooks.callback(reader.register_forward_pre_hook(enter, with_kwargs=True).remove)
