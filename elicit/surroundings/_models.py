"""What on a model changes its forward besides its weights."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.utils._pytree
from torch import Tensor, nn

from elicit.surroundings._state import SurroundingsError

_WATCHERS = (
    "transformer_lens.model_bridge",
    "transformers.utils.output_capturing",
    "transformers.modeling_utils",
    "torch.utils.flop_counter",
    "torch.utils.module_tracker",
)
"""Who hooks on modules and leaves values as they are."""
_KINDS = ("forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks")


def make_guest(hook: Callable[..., Any]) -> None:
    """Mark a hook as one of an active block of edits.

    Args:
        hook: What is registered on the module.
    """
    hook.of_edits = True  # pyright: ignore[reportFunctionMemberAccess]


def foreign_hook(model: nn.Module, *, edits: bool) -> str | None:
    """Name of a module with a hook that may change what the model computes; None if there is none.

    TransformerLens watches the inputs of norms for forks that are off in raw mode, transformers
    keeps what it was once set to return; neither changes a value. A hook with a true attribute
    `keeps_values` says the same of itself.

    Args:
        model: A bridge, or a Hugging Face model.
        edits: Whether hooks of an active block of edits are foreign as well.
    """
    for module in _walk(model):
        if any(_is_foreign(hook, edits) for hook in _hooks(module)):
            return _name([model], module)
    return None


@contextmanager
def plain(models: Iterable[nn.Module], *, hooks_allowed: bool = False) -> Iterator[tuple[str, ...]]:
    """Run a block with models in evaluation mode and with nothing on them that changes values.

    Args:
        models: Bridges, or Hugging Face models.
        hooks_allowed: Whether the caller's hooks may change values.

    Yields:
        A clause for each thing that was switched off.

    Raises:
        SurroundingsError: A compiled or parametrized module, or weights of inference mode; and once
            a hook changes a value in the block.
    """
    training: list[nn.Module] = []
    notes: list[str] = []
    with ExitStack() as stack:
        for module in _walk(*models):
            _refuse(models, module)
            if module.training:
                training.append(module)
            held = vars(module)
            if "forward" in held and not hasattr(module, "_hf_hook"):  # accelerate's own
                notes.append(f"another forward of {_name(models, module)} (kept)")
            if not hooks_allowed and any(held[f"_{kind}"] for kind in _KINDS):
                _watch(stack, vars(module), "", lambda module=module: _name(models, module))
        if not hooks_allowed:
            _watch(stack, dict(vars(nn.modules.module)), "_global", lambda: "every module")
        for module in training:
            module.training = False
            stack.callback(setattr, module, "training", True)
        if training:
            notes.insert(0, "training mode")
        yield tuple(notes)


def _walk(*models: nn.Module) -> Iterator[nn.Module]:
    """All modules of models and of those they wrap, each once; quick, as it runs often."""
    waiting = [each for m in models for each in (m, getattr(m, "original_model", None))]
    seen: set[int] = set()
    while waiting:
        module = waiting.pop()
        if module is not None and id(module) not in seen:
            seen.add(id(module))
            yield module
            waiting.extend(vars(module)["_modules"].values())


def _name(models: Iterable[nn.Module], wanted: nn.Module) -> str:
    """What a module is called in its model, the shortest of its names."""
    named = [
        name
        for model in models
        for root in (model, getattr(model, "original_model", None))
        for name, module in (() if root is None else root.named_modules(remove_duplicate=False))
        if module is wanted and name
    ]
    return min(named, key=len, default=type(wanted).__name__)


def _hooks(module: nn.Module) -> Iterator[object]:
    for kind in _KINDS:
        yield from vars(module)[f"_{kind}"].values()


def _is_foreign(hook: object, edits: bool = True) -> bool:
    theirs = str(getattr(hook, "__module__", "")).startswith(_WATCHERS)
    guest = getattr(hook, "of_edits", False) and not edits
    return not (theirs or guest or getattr(hook, "keeps_values", False))


def _watch(stack: ExitStack, owner: dict[str, Any], prefix: str, name: Callable[[], str]) -> None:
    """Hold every foreign hook of an owner to leaving values as they are, until the stack closes."""
    for kind in _KINDS:
        hooks = owner[f"{prefix}_{kind}"]
        for key, hook in list(hooks.items()):
            if _is_foreign(hook, edits=False):
                hooks[key] = _watched(hook, kind, name)
                stack.callback(_put_back, hooks, key, hook)


def _put_back(hooks: dict[int, object], key: int, hook: object) -> None:
    if key in hooks:  # its owner may have removed it meanwhile
        hooks[key] = hook


def _watched(hook: Callable[..., Any], kind: str, name: Callable[[], str]) -> Callable[..., Any]:
    """A hook whose first change of a value is refused."""
    replaced = {"forward_hooks": slice(-1, None), "backward_hooks": slice(0, 1)}.get(kind, slice(9))

    def call(module: nn.Module, *given: Any) -> Any:
        before, weights = [_values(each) for each in given], _weights(module)
        result = hook(module, *given)
        changed = weights != _weights(module)
        changed |= not _same(before, [_values(each) for each in given])
        if result is not None:
            old = [value for each in before[replaced] for value in each]
            changed |= not _same([old], [_values(result)])
        if changed:
            raise SurroundingsError(
                f"a hook at {name()} ({getattr(hook, '__qualname__', hook)}) changes what the "
                "model computes, so the number would not be the model's. Remove it, or make the "
                "change with elicit.edited, which results record."
            )
        return result

    return call


def _weights(module: nn.Module) -> list[tuple[str, int, int]]:
    """Which tensors a module reads, and how often each was written."""
    held = vars(module)
    named = {**held, **held["_parameters"], **held["_buffers"]}
    held_by = ((name, v) for name, v in named.items() if isinstance(v, Tensor))
    return [(name, id(v), 0 if v.is_inference() else v._version) for name, v in held_by]


def _values(nested: object) -> list[Tensor]:
    """Copies of the tensors in arguments or outputs."""
    leaves = torch.utils._pytree.tree_leaves(nested)
    return [leaf.detach().clone() for leaf in leaves if isinstance(leaf, Tensor)]


def _same(before: list[list[Tensor]], after: list[list[Tensor]]) -> bool:
    """Whether all values are the same, bit for bit."""
    for old, new in zip(before, after, strict=True):
        if len(old) != len(new):
            return False
        for x, y in zip(old, new, strict=True):
            if x.shape != y.shape or not bool(((x == y) | ((x != x) & (y != y))).all()):
                return False
    return True


def _refuse(models: Iterable[nn.Module], module: nn.Module) -> None:
    """Refuse what cannot be switched off without guessing what it is for."""
    held = vars(module)
    inside = held["_modules"]
    compiled = hasattr(held.get("forward"), "_torchdynamo_orig_callable")
    if compiled or "_orig_mod" in inside or held.get("_compiled_call_impl") is not None:
        raise SurroundingsError(
            f"the model's module {_name(models, module)} is compiled by torch.compile, which "
            "rounds in another order and may keep old weights and miss hooks. Pass the model as it "
            "was before torch.compile."
        )
    if "parametrizations" in inside:
        raise SurroundingsError(
            f"the weights of the model's module {_name(models, module)} are parametrized, so what "
            "is stored is not what the forward reads. Make it permanent with "
            "torch.nn.utils.parametrize.remove_parametrizations first."
        )
    for name, parameter in held["_parameters"].items():
        if parameter is None:
            continue
        computed = name.removesuffix("_orig").removesuffix("_g")
        if computed != name and isinstance(held.get(computed), Tensor):
            raise SurroundingsError(
                f"{computed} of the model's module {_name(models, module)} is computed from {name} "
                "before each forward (pruning or a norm of weights), so what is stored is not what "
                "the forward reads. Make it permanent first, with torch.nn.utils.prune.remove or "
                "remove_weight_norm."
            )
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            raise SurroundingsError(
                f"the parameter {name} of {_name(models, module)} has a hook on its gradient, so "
                "gradients would not be the model's. Remove the hook."
            )
        if parameter.is_inference():
            raise SurroundingsError(
                f"the parameter {name} of {_name(models, module)} was made under "
                "torch.inference_mode, so no gradient passes it and it cannot be swapped. Load the "
                "model outside of that block."
            )
