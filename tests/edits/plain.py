"""The same edits on plain Hugging Face modules, without a bridge: what `edits` must agree with."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from elicit.pair import hugging_face_model
from elicit.sites import Kind

Change = Callable[[Tensor], Tensor]

ROWS = [[5, 6, 7, 8, 9], [10, 11, 12], [12, 13, 14, 40, 41, 42, 43], [7, 9, 7, 30]]
"""Prompts of unequal lengths, longer and shorter than the window of the sliding models."""


@cache
def plain_model(folder) -> nn.Module:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()


def padded(rows=ROWS, side="left"):
    width = max(map(len, rows))
    ids, mask = torch.zeros(len(rows), width).long(), torch.zeros(len(rows), width).long()
    for i, row in enumerate(rows):
        start = width - len(row) if side == "left" else 0
        ids[i, start : start + len(row)] = torch.tensor(row)
        mask[i, start : start + len(row)] = 1
    return ids, mask


def logits_of(model, ids, mask=None):
    """Logits of one plain call, positions counted in each row's own tokens."""
    mask = torch.ones_like(ids) if mask is None else mask
    hf = hugging_face_model(model) if hasattr(model, "original_model") else model
    with torch.no_grad():
        return hf(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
            use_cache=False,
        ).logits


def read(bridge, site, ids, mask=None):
    """The activation at a site."""
    found = []
    with bridge.hooks(fwd_hooks=[(site.hook, lambda x, hook: found.append(x.clone()))]):
        logits_of(bridge, ids, mask)
    return found[0]


def n_hooks(bridge) -> int:
    points = {id(point): point for point in bridge.hook_dict.values()}
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in bridge.modules()
    ) + sum(len(point.fwd_hooks) + len(point.bwd_hooks) for point in points.values())


def layers(hf):
    inner = hf.base_model
    return inner.h if hasattr(inner, "h") else inner.layers


def _kind_of(hf) -> str:
    return hf.config.model_type


def attention(hf, layer) -> nn.Module:
    block = layers(hf)[layer]
    for name in ("attn", "attention", "self_attn"):
        if hasattr(block, name):
            return getattr(block, name)
    raise AssertionError(type(block))


@contextmanager
def changed_plain(hf: nn.Module, kind: Kind, layer: int, change: Change) -> Iterator[None]:
    """A plain model whose activation of a kind is changed; heads are an axis of their own."""
    with ExitStack() as stack:
        for handle in _handles(hf, kind, layer, change):
            stack.callback(handle.remove)
        yield


def _handles(hf, kind, layer, change):
    block, attn, family = layers(hf)[layer], attention(hf, layer), _kind_of(hf)
    post_norms = family in ("gemma2", "gemma3_text", "olmo2")

    def on_output(_m, _args, output):
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    def on_input(_m, args, kwargs):
        if args:
            return (change(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    def in_place(_m, args):
        # One tensor is both what the MLP reads and what the skip connection carries.
        args[0].copy_(change(args[0].clone()))

    match kind:
        case "resid_pre":
            return [block.register_forward_pre_hook(on_input, with_kwargs=True)]
        case "resid_post":
            return [block.register_forward_hook(on_output)]
        case "attn_out":
            last = block.post_attention_layernorm if post_norms else attn
            return [last.register_forward_hook(on_output)]
        case "mlp_out":
            last = block.post_feedforward_layernorm if post_norms else block.mlp
            return [last.register_forward_hook(on_output)]
        case "resid_mid":
            reader = {
                "gpt2": "ln_2",
                "olmo2": "mlp",
                "gemma2": "pre_feedforward_layernorm",
                "gemma3_text": "pre_feedforward_layernorm",
            }.get(family, "post_attention_layernorm")
            return [getattr(block, reader).register_forward_pre_hook(in_place)]
    return [_projection_handle(hf, attn, family, kind, change)]


def _projection_handle(hf, attn, family, kind, change):
    n_heads = hf.config.num_attention_heads
    n_kv = getattr(hf.config, "num_key_value_heads", None) or n_heads
    d_head = getattr(hf.config, "head_dim", None) or hf.config.hidden_size // n_heads
    if kind == "z":
        name = {"gpt2": "c_proj", "gpt_neox": "dense"}.get(family, "o_proj")

        def before(_m, args):
            return (change(args[0].unflatten(-1, (n_heads, d_head))).flatten(-2),)

        return getattr(attn, name).register_forward_pre_hook(before)
    heads = n_heads if kind == "q" else n_kv

    def part(x):  # own output of one projection
        return change(x.unflatten(-1, (heads, d_head))).flatten(-2)

    if family == "gpt_neox":

        def interleaved(_m, _args, output):
            triple = list(output.unflatten(-1, (n_heads, 3, d_head)).unbind(-2))
            triple["qkv".index(kind)] = change(triple["qkv".index(kind)])
            return torch.stack(triple, -2).flatten(-3)

        return attn.query_key_value.register_forward_hook(interleaved)
    if family in ("gpt2", "phi3"):
        sizes = [n_heads * d_head, n_kv * d_head, n_kv * d_head]

        def stacked(_m, _args, output):
            parts = list(output.split(sizes, -1))
            parts["qkv".index(kind)] = part(parts["qkv".index(kind)])
            return torch.cat(parts, -1)

        fused = attn.c_attn if family == "gpt2" else attn.qkv_proj
        return fused.register_forward_hook(stacked)
    return getattr(attn, f"{kind}_proj").register_forward_hook(lambda _m, _a, o: part(o))


@contextmanager
def masked_plain(hf, layer, removed):
    """A plain model with scores at minus infinity: `removed` is [batch head dest src]."""

    def mask(_m, args, kwargs):
        old = kwargs["attention_mask"]
        if old is None:
            n = removed.shape[-1]
            old = torch.full((n, n), torch.finfo(torch.float32).min).triu(1)[None, None]
        if old.dtype == torch.bool:
            old = torch.where(old, 0.0, torch.finfo(torch.float32).min)
        new = old.expand(removed.shape).masked_fill(removed, -torch.inf)
        return args, {**kwargs, "attention_mask": new}

    handle = attention(hf, layer).register_forward_pre_hook(mask, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
