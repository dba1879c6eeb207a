"""Where a model computes, and its weights wherever they are kept."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elicit.pair.errors import PairError
from elicit.pair.parameters import hugging_face_model, parameter_groups


def device_of(model: nn.Module) -> torch.device:
    """Device on which a model takes its tokens, or a module its input.

    Weights that accelerate keeps elsewhere (in host memory, on disk) are on no device between two
    calls; then it is the device on which they will compute.

    Args:
        model: A bridge, a Hugging Face model, or one module of it.
    """
    first = next(model.parameters(), None)
    if first is not None and not first.is_meta:
        return first.device
    for module in model.modules():
        for hook in _hooks(module):
            device = getattr(hook, "execution_device", None)
            if device is not None:
                return torch.device(device)
    return torch.device("cpu") if first is None else first.device


def weight_of(module: nn.Module, name: str = "weight") -> Tensor:
    """A parameter of a module, fetched from where accelerate keeps it.

    Args:
        module: The module that owns it.
        name: `weight` or `bias`.
    """
    own = module.get_parameter(name)
    if not own.is_meta:
        return own
    for hook in _hooks(module):
        kept: Any = getattr(hook, "weights_map", None)
        if kept is not None:
            return kept[name].to(device_of(module))
    return own


def is_offloaded(model: nn.Module) -> bool:
    """Whether some weights are kept elsewhere between two calls, so that none can be swapped."""
    return any(parameter.is_meta for parameter in model.parameters())


def _hooks(module: nn.Module) -> list[object]:
    """What accelerate hooked onto one module."""
    hook = module.__dict__.get("_hf_hook")
    return [] if hook is None else list(getattr(hook, "hooks", [hook]))


def offload(
    bridge: nn.Module, device: str | torch.device, *, folder: str | Path | None = None
) -> None:
    """Keep a model's weights in host memory, or on disk, and put each on a device for its call.

    Forwards, texts, edits, lanes and gradients of activations compute the same numbers; weights can
    no longer be compared or swapped, so do that before.

    Args:
        bridge: A booted model of a pair.
        device: Where every module computes.
        folder: Where weights are kept on disk; None keeps them in host memory.

    Raises:
        PairError: Projections were split at boot (GPT-2, GPT-NeoX, Phi-3), which accelerate cannot
            place.
    """
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module
    from accelerate.utils import OffloadedWeightsLoader, PrefixedDataset, offload_state_dict

    split = next((name for name, group in parameter_groups(bridge).items() if group.fused), None)
    if split is not None:
        raise PairError(
            f"{split} was split into its projections when the model was wrapped, and such pieces "
            "cannot be kept elsewhere, so the model would compute without them. Load it whole; "
            "share_weights holds what is equal in both models once."
        )
    modules = [
        (f"m{place}.", module)
        for place, module in enumerate(hugging_face_model(bridge).modules())
        if any(each is not None for each in module._parameters.values())
    ]
    stored = None
    if folder is not None:
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
                weights_map=None if stored is None else PrefixedDataset(stored, prefix),
                place_submodules=False,
            ),
        )
