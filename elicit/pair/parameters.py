"""The parameters that a booted model's forward really reads, under their Hugging Face names.

`TransformerBridge` wraps a Hugging Face model in place and keeps its parameter objects, with one
exception: a fused projection (GPT-2 `c_attn`, GPT-NeoX `query_key_value`, Phi-3 `qkv_proj` and
`gate_up_proj`) is split once into new parameters for q, k, v or gate, up. From then on the forward
of the bridge, of `bridge.original_model` and of `generate` reads the split ones alone, and the
fused parameter is a record that nothing reads. Whoever writes weights must write the split ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """One Hugging Face parameter with every tensor that must move when it moves.

    Groups of two models of one architecture line up: the same names in the same order, and in
    `live` the same pieces. Copying the `data` pointers of `canonical` and of every `live`
    parameter from one model to the other therefore moves the whole parameter.
    """

    name: str
    """The name in the checkpoint, e.g. `transformer.h.0.attn.c_attn.weight`."""
    canonical: nn.Parameter
    """The parameter as the checkpoint stores it; read by the forward only if it is in `live`."""
    live: tuple[nn.Parameter, ...]
    """What the forward reads: `(canonical,)`, or the pieces (q, k, v or gate, up) of a fused one.
    Together they have exactly the elements of `canonical`, so sums over elements, gradients and
    straight lines between two models are the same on either form."""
    aliases: tuple[str, ...]
    """Further checkpoint names of the same parameter: `lm_head.weight` when embeddings are tied."""

    @property
    def fused(self) -> bool:
        """Whether the forward reads pieces instead of `canonical`."""
        return self.live[0] is not self.canonical

    @property
    def all(self) -> tuple[nn.Parameter, ...]:
        """Every parameter object to swap: the live ones, and the canonical one if it is apart."""
        return (self.canonical, *self.live) if self.fused else self.live


def hugging_face_model(bridge: nn.Module) -> nn.Module:
    """The Hugging Face model that the bridge wraps, sharing the bridge's parameters."""
    return bridge.original_model  # pyright: ignore[reportReturnType]


def _walk(module: nn.Module, prefix: str, component: type) -> Iterator[tuple[str, nn.Parameter]]:
    """Checkpoint names with parameters: through each wrapper, never into its added children."""
    if isinstance(module, component):
        wrapped = module._modules.get("_original_component")
        if wrapped is not None:
            yield from _walk(wrapped, prefix, component)
        return
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield prefix + name, parameter
    for name, child in module._modules.items():
        if child is not None:
            yield from _walk(child, f"{prefix}{name}.", component)


def named_canonical(bridge: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Every checkpoint name with its parameter, tied names repeated, in the checkpoint's order.

    The zero bias that the bridge gives to an unembedding without one is left out.
    """
    from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent

    hf_model = hugging_face_model(bridge)
    found = _walk(hf_model, "", GeneralizedComponent)
    return [(name, p) for name, p in found if not _added_bias(hf_model, name, p)]


def _added_bias(hf_model: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """Whether `parameter` is the unembedding bias that only the bridge knows."""
    if not name.endswith(("lm_head.bias", "embed_out.bias")):
        return False
    if getattr(hf_model.config, "lm_head_bias", False):
        return False
    # Without numbers (outlines, offloaded weights) the configuration alone says it.
    without = parameter.untyped_storage().device.type == "meta"
    return without or not parameter.detach().any().item()


def parameter_groups(bridge: nn.Module) -> dict[str, ParameterGroup]:
    """Each checkpoint parameter with all live tensors of the forward that stand for it.

    Args:
        bridge: A booted `TransformerBridge` in raw mode.

    Returns:
        Groups under their first checkpoint name, in the checkpoint's order; tied parameters once.
    """
    aliases: dict[int, list[str]] = {}
    first: dict[str, nn.Parameter] = {}
    for name, parameter in named_canonical(bridge):
        if id(parameter) not in aliases:
            first[name] = parameter
        aliases.setdefault(id(parameter), []).append(name)
    pieces = _pieces(bridge)
    return {
        name: ParameterGroup(
            name=name,
            canonical=parameter,
            live=pieces.get(id(parameter), (parameter,)),
            aliases=tuple(aliases[id(parameter)][1:]),
        )
        for name, parameter in first.items()
    }


def _pieces(bridge: nn.Module) -> dict[int, tuple[nn.Parameter, ...]]:
    """The split parameters of each fused one, by the id of the fused parameter."""
    found: dict[int, tuple[nn.Parameter, ...]] = {}
    for component, parts, fused in _splits(bridge):
        for kind in ("weight", "bias"):
            whole = getattr(fused, kind, None)
            if whole is None:
                continue
            split = tuple(getattr(unwrapped(component._modules[part]), kind) for part in parts)
            found[id(whole)] = split
    return found


def _splits(bridge: nn.Module) -> Iterator[tuple[nn.Module, tuple[str, ...], nn.Module]]:
    """Every component that reads split projections: itself, the pieces' names, the fused module."""
    from transformer_lens.model_bridge.generalized_components import (
        JointGateUpMLPBridge,
        JointQKVAttentionBridge,
    )

    for component in hugging_face_model(bridge).modules():
        if isinstance(component, JointQKVAttentionBridge):
            yield component, ("q", "k", "v"), _fused(component, ("q", "k", "v"))
        elif isinstance(component, JointGateUpMLPBridge):
            yield component, ("gate", "in"), _fused(component, ("gate", "in"))


def unwrapped(module: nn.Module | None) -> nn.Module:
    """The module under any number of bridge wrappers.

    Raises:
        TypeError: A wrapper wraps nothing.
    """
    while module is not None and "_original_component" in module._modules:
        module = module._modules["_original_component"]
    if module is None:
        raise TypeError("a bridge component wraps nothing")
    return module


def _fused(component: nn.Module, parts: tuple[str, ...]) -> nn.Module:
    """The projection inside `component` whose elements are those of `parts` together."""
    weights = [unwrapped(component._modules[part]).get_parameter("weight") for part in parts]
    elements = sum(weight.numel() for weight in weights)
    known = {id(unwrapped(component._modules[part])) for part in parts}
    for module in unwrapped(component).modules():
        weight = module._parameters.get("weight")
        if weight is not None and weight.numel() == elements and id(module) not in known:
            return module
    raise TypeError(f"{type(component).__name__} holds no projection of {elements} elements")


def stale_pieces(bridge: nn.Module) -> list[str]:
    """Fused parameters whose split pieces, which the forward reads, no longer hold their values.

    Returns:
        Checkpoint names; empty unless weights were written past `ParameterGroup.all`.
    """
    stale: set[int] = set()
    for component, parts, fused in _splits(bridge):
        # The component's own rule, run again on the fused module as it is now.
        split = getattr(component, "split_qkv_matrix" if "q" in parts else "split_gate_up_matrix")
        with torch.random.fork_rng(devices=[]):
            fresh = split(unwrapped(component))
        for part, made in zip(parts, fresh, strict=True):
            live = unwrapped(component._modules[part])
            for kind in ("weight", "bias"):
                whole = getattr(fused, kind, None)
                if whole is not None and not torch.equal(getattr(live, kind), getattr(made, kind)):
                    stale.add(id(whole))
    return [n for n, g in parameter_groups(bridge).items() if id(g.canonical) in stale]
