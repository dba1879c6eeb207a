"""Plain Hugging Face models with hooks on their own modules: what any engine must agree with."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from elicit.sites import Site
from tests import checkpoints

_LAYERS = {"gpt2": ("transformer", "h"), "gpt_neox": ("gpt_neox", "layers")}
_ATTN = {"gpt2": "attn", "gpt_neox": "attention"}
_OUT = {"gpt2": "c_proj", "gpt_neox": "dense"}
_POST_ATTN = ("gemma2", "gemma3_text", "olmo2")


def plain(architecture: str, seed: int) -> nn.Module:
    """The model that `paired` has wrapped, not wrapped."""
    return checkpoints.random_model(architecture, seed=seed)


def layers(model: nn.Module, architecture: str) -> list[nn.Module]:
    """Its decoder layers."""
    outer, inner = _LAYERS.get(architecture, ("model", "layers"))
    return list(getattr(getattr(model, outer), inner))


def _attn(layer: nn.Module, architecture: str) -> nn.Module:
    return getattr(layer, _ATTN.get(architecture, "self_attn"))


def _mlp_out(layer: nn.Module, architecture: str) -> nn.Module:
    return layer.post_feedforward_layernorm if architecture in _POST_ATTN else layer.mlp


def _attn_out(layer: nn.Module, architecture: str) -> nn.Module:
    if architecture in _POST_ATTN:
        return layer.post_attention_layernorm
    return _attn(layer, architecture)


def run(
    model: nn.Module,
    architecture: str,
    ids: Tensor,
    mask: Tensor,
    position_ids: Tensor,
    *,
    put: Sequence[tuple[Site, int, int, int, Tensor]] = (),
    read: Sequence[Site] = (),
) -> tuple[Tensor, dict[Site, Tensor]]:
    """Logits, and activations read, with values put in at (site, row, low, high)."""
    found: dict[Site, Tensor] = {}
    config = model.config
    n_heads = config.num_attention_heads
    n_kv = getattr(config, "num_key_value_heads", None) or n_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // n_heads

    def see(kind: str, layer: int, value: Tensor) -> Tensor:
        here = Site(kind, layer)
        if here in read:
            found[here] = value.detach().clone()
        for site, row, low, high, new in put:
            if site.whole == here:
                value = value.clone()
                if site.head is None:
                    value[row, low:high] = new
                else:
                    value[row, low:high, site.head] = new
        return value

    def heads(value: Tensor, n: int) -> Tensor:
        return value.unflatten(-1, (n, width))

    with ExitStack() as stack:
        for index, layer in enumerate(layers(model, architecture)):
            attn = _attn(layer, architecture)
            out_name = _OUT.get(architecture, "o_proj")

            def pre(_m, args, kwargs, index=index):
                if args:
                    return (see("resid_pre", index, args[0]), *args[1:]), kwargs
                changed = see("resid_pre", index, kwargs["hidden_states"])
                return args, {**kwargs, "hidden_states": changed}

            def post(_m, _a, out, index=index):
                if isinstance(out, tuple):
                    return (see("resid_post", index, out[0]), *out[1:])
                return see("resid_post", index, out)

            def into(kind, index=index):
                def hook(_m, _a, out):
                    if isinstance(out, tuple):
                        return (see(kind, index, out[0]), *out[1:])
                    return see(kind, index, out)

                return hook

            def z(_m, args, index=index):
                return (see("z", index, heads(args[0], n_heads)).flatten(-2),)

            def projected(kind, n, index=index):
                def hook(_m, _a, out):
                    return see(kind, index, heads(out, n)).flatten(-2)

                return hook

            def gpt2_qkv(_m, _a, out, index=index):
                parts = out.split(config.hidden_size, dim=-1)
                return torch.cat(
                    [
                        see(k, index, heads(p, n_heads)).flatten(-2)
                        for k, p in zip("qkv", parts, strict=True)
                    ],
                    dim=-1,
                )

            def neox_qkv(_m, _a, out, index=index):
                parts = out.unflatten(-1, (n_heads, 3 * width)).split(width, dim=-1)
                seen = [see(k, index, p) for k, p in zip("qkv", parts, strict=True)]
                return torch.cat(seen, dim=-1).flatten(-2)

            def phi3_qkv(_m, _a, out, index=index):
                sizes = [n_heads * width, n_kv * width, n_kv * width]
                parts = out.split(sizes, dim=-1)
                counts = (n_heads, n_kv, n_kv)
                return torch.cat(
                    [
                        see(k, index, heads(p, n)).flatten(-2)
                        for k, p, n in zip("qkv", parts, counts, strict=True)
                    ],
                    dim=-1,
                )

            handles = [
                layer.register_forward_pre_hook(pre, with_kwargs=True),
                layer.register_forward_hook(post),
                _attn_out(layer, architecture).register_forward_hook(into("attn_out")),
                _mlp_out(layer, architecture).register_forward_hook(into("mlp_out")),
                getattr(attn, out_name).register_forward_pre_hook(z),
            ]
            if architecture == "gpt2":
                handles.append(attn.c_attn.register_forward_hook(gpt2_qkv))
            elif architecture == "gpt_neox":
                handles.append(attn.query_key_value.register_forward_hook(neox_qkv))
            elif architecture == "phi3":
                handles.append(attn.qkv_proj.register_forward_hook(phi3_qkv))
            else:
                for kind, n in (("q", n_heads), ("k", n_kv), ("v", n_kv)):
                    module = getattr(attn, f"{kind}_proj")
                    handles.append(module.register_forward_hook(projected(kind, n)))
            for handle in handles:
                stack.callback(handle.remove)
        with torch.no_grad():
            logits = model(
                input_ids=ids, attention_mask=mask, position_ids=position_ids, use_cache=False
            ).logits
    return logits, found
