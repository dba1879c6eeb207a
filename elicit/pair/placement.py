"""Where a model computes, and its weights wherever they are kept."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elicit.pair._ahead import Ahead, link_to
from elicit.pair.errors import PairError
from elicit.pair.parameters import hugging_face_model, parameter_groups, unwrapped


@dataclass(frozen=True, eq=False)
class Streamed:
    """What a module keeps in host memory, and where it computes."""

    execution_device: torch.device
    """Where its parameters are during a call."""
    owner: nn.Module
    """The module whose parameters they are: itself, or what it wraps."""
    held: dict[str, nn.Parameter]
    """The parameters, which the owner has itself again after every call."""
    inner: Any
    """The module's forward."""
    ahead: Ahead | None
    """What sends them to a CUDA device while another module computes."""


def device_of(model: nn.Module) -> torch.device:
    """Device on which a model takes its tokens, or a module its input.

    Weights that are kept elsewhere (in host memory, on disk) are on no device between two calls;
    then it is the device on which they will compute.

    Args:
        model: A bridge, a Hugging Face model, or one module of it.
    """
    for module in model.modules():
        first = next((p for p in module._parameters.values() if p is not None), None)
        if first is None:
            continue
        streamed = _streamed(module)
        if streamed is not None:
            return streamed.execution_device
        if not first.is_meta:
            return first.device
        break
    for module in model.modules():
        for hook in _hooks(module):
            device = getattr(hook, "execution_device", None)
            if device is not None:
                return torch.device(device)
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def weight_of(module: nn.Module, name: str = "weight") -> Tensor:
    """A parameter of a module, fetched from where it is kept.

    Args:
        module: The module that owns it.
        name: `weight` or `bias`.
    """
    own = module.get_parameter(name)
    streamed = _streamed(module)
    if streamed is not None:
        return _placed(streamed.held[name], streamed.execution_device)
    if not own.is_meta:
        return own
    for hook in _hooks(module):
        kept: Any = getattr(hook, "weights_map", None)
        if kept is not None:
            return kept[name].to(device_of(module))
    return own


def without_waiting(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device, sent without waiting for what is computed there.

    Args:
        tensor: In host memory, from where it may be gone before it has arrived; or anywhere.
        device: Where it is needed.
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        # From other memory the host would wait until everything before the copy is computed.
        tensor = tensor.pin_memory()
    # MPS may read memory that has been freed meanwhile.
    return tensor.to(device, non_blocking=device.type != "mps")


def is_offloaded(model: nn.Module) -> bool:
    """Whether some weights cannot be read between two calls, so that none can be swapped."""
    return any(parameter.is_meta for parameter in model.parameters())


def _hooks(module: nn.Module) -> list[object]:
    """What accelerate, or this module, hooked onto one module."""
    hook = module.__dict__.get("_hf_hook")
    return [] if hook is None else list(getattr(hook, "hooks", [hook]))


def _streamed(module: nn.Module) -> Streamed | None:
    hook = module.__dict__.get("_hf_hook")
    return hook if isinstance(hook, Streamed) else None


def _placed(kept: Tensor, device: torch.device) -> Tensor:
    """A copy for one call; a gradient of it goes to what is kept."""
    return kept.to(device, copy=True)


def _call(module: nn.Module, *args: object, **named: object) -> object:
    """A module's forward with its parameters on the device."""
    from accelerate.utils import send_to_device

    hook = _streamed(module)
    assert hook is not None
    where, own = hook.execution_device, hook.owner._parameters
    args, named = send_to_device(args, where), send_to_device(named, where)  # pyright: ignore
    if any(own[name] is not kept for name, kept in hook.held.items()):
        return hook.inner(*args, **named)  # a wrapper around this module has placed them
    ahead = hook.ahead
    if ahead is not None and torch.is_grad_enabled():
        ahead = None  # a gradient goes through the copy
    if ahead is None:
        placed = {name: _placed(kept, where) for name, kept in hook.held.items()}
    else:
        placed = ahead.take(hook.held)
    own |= placed  # pyright: ignore
    try:
        found = hook.inner(*args, **named)
        if ahead is not None:
            ahead.look_ahead(hook.held)
        return found
    finally:
        own |= hook.held


def offload(
    bridge: nn.Module, device: str | torch.device, *, folder: str | Path | None = None
) -> None:
    """Keep a model's weights in host memory, or on disk, and put each on a device for its call.

    Forwards, texts, edits, lanes and gradients compute the same numbers. On a CUDA device the next
    module's weights are copied, from page-locked memory, while one computes. Weights in host memory
    are compared and moved between the models as any others; those on disk no longer can be, so do
    that before.

    Args:
        bridge: A booted model of a pair.
        device: Where every module computes.
        folder: Where weights are kept on disk; None keeps them in host memory.

    Raises:
        PairError: On disk: projections were split at boot (GPT-2, GPT-NeoX, Phi-3), which
            accelerate cannot place.
    """
    if folder is not None:
        _to_disk(bridge, device, folder)
        return
    where = torch.device(device)
    host = torch.device("cpu")
    link = link_to(where)
    ahead = None if link is None else Ahead(link)
    for module in hugging_face_model(bridge).modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = buffer.to(where)
        # Some wrappers read the parameters of what they wrap (TransformerLens's norms).
        owner = unwrapped(module) if "_original_component" in module._modules else module
        held = {name: each for name, each in owner._parameters.items() if each is not None}
        if not held:
            continue
        for each in held.values():
            each.data = each.data.to(host)
        inner = module.forward
        # Past `__setattr__`, by which a wrapper sets what it wraps.
        module.__dict__["_hf_hook"] = Streamed(where, owner, held, inner, ahead)
        # Not a closure: a copy of the model calls its own parts.
        placed = functools.update_wrapper(functools.partial(_call, module), inner)
        module.__dict__["forward"] = placed
    config: Any = getattr(bridge, "cfg", None)
    if config is not None:
        config.device = str(where)


def _to_disk(bridge: nn.Module, device: str | torch.device, folder: str | Path) -> None:
    """Keep a model's weights in a folder, by accelerate's hooks."""
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module
    from accelerate.utils import OffloadedWeightsLoader, PrefixedDataset, offload_state_dict

    split = next((name for name, group in parameter_groups(bridge).items() if group.fused), None)
    if split is not None:
        raise PairError(
            f"{split} was split into its projections when the model was wrapped, and such pieces "
            "cannot be kept on disk, so the model would compute without them. Keep them in host "
            "memory (folder=None)."
        )
    modules = [
        (f"m{place}.", module)
        for place, module in enumerate(hugging_face_model(bridge).modules())
        if any(each is not None for each in module._parameters.values())
    ]
    named = {
        f"{prefix}{name}": parameter.detach().cpu()
        for prefix, module in modules
        for name, parameter in module._parameters.items()
        if parameter is not None
    }
    offload_state_dict(str(folder), named)
    stored = OffloadedWeightsLoader(save_folder=str(folder))
    for prefix, module in modules:
        add_hook_to_module(
            module,
            AlignDevicesHook(
                execution_device=torch.device(device),
                offload=True,
                weights_map=PrefixedDataset(stored, prefix),
                place_submodules=False,
            ),
        )
