"""A model, taken apart into blocks that can be run one by one.

`TransformerBridge` cannot go on from the middle of a forward, so whoever wants to must own the loop
over layers. An `Anatomy` names the modules that a block is made of, as the forward really reads
them, and knows how its architecture puts them together.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from elicit.capture.block import Inputs, Layer, Rotary
from elicit.capture.trunk import CaptureError
from elicit.capture.untouched import what_touches
from elicit.pair import hugging_face_model
from elicit.sites import Shape


class UnknownArchitectureError(CaptureError):
    """A model whose blocks the lane engine cannot take apart."""


@dataclass(frozen=True)
class _Names:
    """Where a block of one family keeps its parts."""

    attn: str
    pre_attn: str | None
    pre_mlp: str | None
    post_attn: str | None = None
    post_mlp: str | None = None


_LLAMA = _Names("self_attn", "input_layernorm", "post_attention_layernorm")
_GEMMA = _Names(
    "self_attn",
    "input_layernorm",
    "pre_feedforward_layernorm",
    "post_attention_layernorm",
    "post_feedforward_layernorm",
)
_FAMILIES: dict[str, _Names] = {
    "gpt2": _Names("attn", "ln_1", "ln_2"),
    "gpt_neox": _Names("attention", "input_layernorm", "post_attention_layernorm"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "phi3": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "olmo2": _Names(
        "self_attn", None, None, "post_attention_layernorm", "post_feedforward_layernorm"
    ),
}


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A model, taken apart."""

    model: nn.Module
    """The bridge."""
    shape: Shape
    """Layers, heads and widths."""
    layers: tuple[Layer, ...]
    """Its blocks."""
    final_norm: nn.Module
    """The norm before the unembedding."""
    unembed: nn.Module
    """From the normed residual stream to logits."""
    final_softcap: float | None
    """Logits are squashed to within this, if at all."""

    @property
    def device(self) -> torch.device:
        """Where the embeddings are."""
        return next(self.model.parameters()).device

    @property
    def unembedding(self) -> Float[Tensor, "d_vocab d_model"]:
        """Weight of the unembedding."""
        return self.unembed.weight  # pyright: ignore[reportReturnType]

    def logits(self, resid: Float[Tensor, "*token d_model"]) -> Float[Tensor, "*token d_vocab"]:
        """Logits from the residual stream after the last layer.

        Args:
            resid: Only the tokens that are to be read.
        """
        found = self.unembed(self.final_norm(resid))
        cap = self.final_softcap
        return found if cap is None else torch.tanh(found / cap) * cap

    def begin(
        self,
        ids: Int[Tensor, "batch pos"],
        mask: Int[Tensor, "batch pos"],
        position_ids: Int[Tensor, "batch pos"],
    ) -> Inputs:
        """Embeddings, angles and masks of a batch, made by the model itself; no layer is run.

        Args:
            ids: Token ids.
            mask: 1 at tokens, 0 at padding.
            position_ids: Place of each token in its own row.
        """
        calls: list[tuple[tuple, dict]] = []

        def enter(_module: nn.Module, args: tuple, kwargs: dict) -> None:
            calls.append((args, kwargs))

        blocks = list(self.model.blocks)  # pyright: ignore[reportArgumentType]
        with _skipped(blocks):
            handles = [b.register_forward_pre_hook(enter, with_kwargs=True) for b in blocks]
            try:
                hugging_face_model(self.model)(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=position_ids,
                    use_cache=False,
                    logits_to_keep=1,
                )
            finally:
                for handle in handles:
                    handle.remove()
        first, named = calls[0]
        resid = first[0] if first else named["hidden_states"]
        masks: dict[int, Tensor] = {}
        allowed, rotary = [], []
        for args, kwargs in calls:
            given = _attention_mask(args, kwargs)
            if id(given) not in masks:
                masks[id(given)] = _allowed(given, mask)
            allowed.append(masks[id(given)])
            angles = kwargs.get("position_embeddings")
            rotary.append(None if angles is None else Rotary(*angles))
        return Inputs(resid=resid, mask=mask, rotary=tuple(rotary), allowed=tuple(allowed))


def _attention_mask(args: tuple, kwargs: dict) -> Tensor | None:
    """The mask among a block's arguments; GPT-2's blocks take it by position."""
    found = kwargs.get("attention_mask")
    if found is not None:
        return found
    return next((a for a in args[1:] if isinstance(a, Tensor) and a.ndim == 4), None)


def _allowed(given: Tensor | None, mask: Tensor) -> Tensor:
    """Who may attend to whom, from the mask that the model made itself."""
    n_pos = mask.shape[1]
    own = torch.eye(n_pos, dtype=torch.bool, device=mask.device)
    if given is None:
        # Some kernels are told "causal" instead of being given a mask; then nothing is padded.
        causal = torch.ones(n_pos, n_pos, dtype=torch.bool, device=mask.device).tril()
        return causal[None]
    seen = given[:, 0] if given.dtype == torch.bool else given[:, 0] > torch.finfo(given.dtype).min
    seen = seen | own
    return seen[:1] if len(seen) == 1 or bool((seen == seen[:1]).all()) else seen


@contextmanager
def _skipped(blocks: list[nn.Module]) -> Iterator[None]:
    """Let the blocks hand on what they get; the model still makes masks and angles."""

    def hand_on(hidden_states: Tensor, *_args: object, **_kwargs: object) -> Tensor:
        return hidden_states

    # Not by setattr, which a bridge passes on to the module it wraps.
    saved = [(block, block.__dict__.get("forward")) for block in blocks]
    for block, _ in saved:
        block.__dict__["forward"] = hand_on
    try:
        yield
    finally:
        for block, forward in saved:
            if forward is None:
                block.__dict__.pop("forward", None)
            else:
                block.__dict__["forward"] = forward


def unwrapped(module: nn.Module | None) -> nn.Module | None:
    """The module under any number of bridge wrappers."""
    while module is not None and "_original_component" in module._modules:
        module = module._modules["_original_component"]
    return module


def anatomy_of(model: nn.Module) -> Anatomy:
    """Take a model apart.

    Args:
        model: A bridge in raw mode.

    Raises:
        UnknownArchitectureError: The engine does not know how this architecture is put together, or
            its layers are on several devices.
        CaptureError: The model is under edits, has hooks on it, or is in training mode: its parts
            run past all of these.
    """
    touched = what_touches(model)
    if touched is not None:
        raise CaptureError(
            f"the model {touched}, and layers that are run one by one do not see it, so the "
            "outcome would be that of the plain model without a word. Leave the block of edits, "
            "take the hook off, or call model.eval()."
        )
    config = hugging_face_model(model).config
    kind = str(getattr(config, "model_type", ""))
    names = _FAMILIES.get(kind)
    upcast = getattr(config, "reorder_and_upcast_attn", False)
    if names is None or upcast:
        raise UnknownArchitectureError(
            f"the architecture {kind or type(config).__name__!r}"
            f"{' with reorder_and_upcast_attn' if names and upcast else ''} is not one that the "
            f"lane engine can take apart (it knows {', '.join(_FAMILIES)}), so its layers cannot "
            "be run one by one. Sweeps fall back to one whole forward a cell."
        )
    devices = {str(parameter.device) for parameter in model.parameters()}
    if len(devices) > 1:
        raise UnknownArchitectureError(
            f"the model is spread over {', '.join(sorted(devices))}, and lanes stay on one device, "
            "so its layers cannot be run one by one. Sweeps fall back to one whole forward a cell."
        )
    blocks = list(model.blocks)  # pyright: ignore[reportArgumentType]
    layers = tuple(_layer(block, names, config, len(blocks)) for block in blocks)
    cap = getattr(config, "final_logit_softcapping", None)
    return Anatomy(
        model=model,
        shape=layers[0].shape,
        layers=layers,
        final_norm=_found(model.ln_final, "final norm"),
        unembed=_found(model.unembed, "unembedding"),
        final_softcap=cap,
    )


def _found(module: object, what: str) -> nn.Module:
    plain = unwrapped(module) if isinstance(module, nn.Module) else None
    if plain is None:
        raise UnknownArchitectureError(
            f"the model has no {what} where its architecture keeps it, so it cannot be taken "
            "apart. Sweeps fall back to one whole forward a cell."
        )
    return plain


def _layer(block: nn.Module, names: _Names, config: object, n_layers: int) -> Layer:
    """One block, taken apart."""
    whole = unwrapped(block)
    attn_bridge, mlp_bridge = block.attn, block.mlp
    attn = unwrapped(attn_bridge)  # pyright: ignore[reportArgumentType]
    assert whole is not None and attn is not None
    n_heads = int(config.num_attention_heads)  # pyright: ignore[reportAttributeAccessIssue]
    n_kv_heads = int(getattr(config, "num_key_value_heads", None) or n_heads)
    d_model = int(config.hidden_size)  # pyright: ignore[reportAttributeAccessIssue]
    d_head = int(getattr(attn, "head_dim", None) or getattr(attn, "head_size", d_model // n_heads))
    q_norm = unwrapped(getattr(attn, "q_norm", None))
    shape = Shape(
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        d_model=d_model,
        d_head=d_head,
        parallel=bool(getattr(whole, "use_parallel_residual", False)),
    )
    named = attn_bridge._modules  # pyright: ignore[reportAttributeAccessIssue]
    inner = mlp_bridge._modules  # pyright: ignore[reportAttributeAccessIssue]

    def norm(name: str | None) -> nn.Module | None:
        return None if name is None else _found(getattr(whole, name, None), name)

    return Layer(
        shape=shape,
        q=_found(named.get("q"), "query projection"),
        k=_found(named.get("k"), "key projection"),
        v=_found(named.get("v"), "value projection"),
        o=_found(named.get("o"), "output projection"),
        gate=unwrapped(inner.get("gate")),
        up=_found(inner.get("in"), "MLP input projection"),
        down=_found(inner.get("out"), "MLP output projection"),
        act=_activation(config),
        pre_attn=norm(names.pre_attn),
        post_attn=norm(names.post_attn),
        pre_mlp=norm(names.pre_mlp),
        post_mlp=norm(names.post_mlp),
        q_norm=q_norm,
        k_norm=unwrapped(getattr(attn, "k_norm", None)),
        flat_norm=q_norm is not None and q_norm.get_parameter("weight").numel() != d_head,
        scaling=float(getattr(attn, "scaling", d_head**-0.5)),
        softcap=getattr(attn, "attn_logit_softcapping", None),
    )


def _activation(config: object) -> Callable[[Tensor], Tensor]:
    """The MLP's non-linearity."""
    from transformers.activations import ACT2FN

    name = next(
        str(getattr(config, field))
        for field in ("activation_function", "hidden_activation", "hidden_act")
        if getattr(config, field, None) is not None
    )
    if name in ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"):
        # The same formula in one kernel instead of seven passes over the widest tensor.
        return lambda x: functional.gelu(x, approximate="tanh")
    return ACT2FN[name]
