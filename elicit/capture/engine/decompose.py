"""A model as blocks that can be run one by one.

`TransformerBridge` cannot continue from the middle of a forward, so whoever wants to must own the
loop over layers. A `Decomposed` model names the modules that a block is made of, as the forward
really reads them, and knows how its architecture combines them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional

from elicit.capture.engine.block import Layer
from elicit.capture.engine.inputs import Inputs, inputs_of
from elicit.capture.errors import CaptureError, UnknownArchitectureError
from elicit.capture.plain import modifications_of
from elicit.capture.unembed import Moved, Unembed
from elicit.pair import device_of, hugging_face_model, unwrapped
from elicit.sites import Shape


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
class Decomposed:
    """A model as its blocks, each as its parts."""

    model: nn.Module
    """The bridge."""
    shape: Shape
    """Layers, heads and widths."""
    layers: tuple[Layer, ...]
    """The blocks, in order."""
    unembed: Unembed
    """From its last residual stream to logits."""

    @property
    def device(self) -> torch.device:
        """Device of the embeddings."""
        return device_of(self.model)

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
            position_ids: Position of each token in its row.
        """
        return inputs_of(self.model, ids, mask, position_ids)


def decompose(model: nn.Module) -> Decomposed:
    """Decompose a model into its blocks and their parts.

    Raises:
        UnknownArchitectureError: The engine does not know this architecture.
        CaptureError: The model is under edits, has hooks on it, or is in training mode: its parts
            run without all of these.
    """
    modifications = modifications_of(model)
    if modifications is not None:
        raise CaptureError(
            f"the model {modifications}, which layers that are run one by one would ignore, so the "
            "result would silently be that of the plain model. Leave the block of edits, remove "
            "the hook, or call model.eval()."
        )
    config = hugging_face_model(model).config
    kind = str(getattr(config, "model_type", ""))
    names = _FAMILIES.get(kind)
    upcast = getattr(config, "reorder_and_upcast_attn", False)
    if names is None or upcast:
        raise UnknownArchitectureError(
            f"the architecture {kind or type(config).__name__!r}"
            f"{' with reorder_and_upcast_attn' if names and upcast else ''} is not one that the "
            f"lane engine can decompose (it knows {', '.join(_FAMILIES)}), so its layers cannot be "
            "run one by one. Run whole forwards instead."
        )
    blocks = list(model.blocks)  # pyright: ignore[reportArgumentType]
    home = device_of(model)
    layers = tuple(_layer(block, names, config, len(blocks), home) for block in blocks)
    projection = _required(model.unembed, "unembedding")
    return Decomposed(
        model=model,
        shape=layers[0].shape,
        layers=layers,
        unembed=Unembed(
            norm=_here(_required(model.ln_final, "final norm"), home),
            projection=_here(projection, home),
            softcap=getattr(config, "final_logit_softcapping", None),
            d_vocab=int(projection.get_parameter("weight").shape[0]),
        ),
    )


def _required(module: object, what: str) -> nn.Module:
    plain = _optional(module)
    if plain is None:
        raise UnknownArchitectureError(
            f"the model has no {what} where its architecture keeps it, so it cannot be decomposed. "
            "Run whole forwards instead."
        )
    return plain


def _optional(module: object) -> nn.Module | None:
    try:
        return unwrapped(module) if isinstance(module, nn.Module) else None
    except TypeError:  # A wrapper around nothing stands where the architecture has no such part.
        return None


def _here(module: nn.Module, home: torch.device) -> nn.Module:
    """A module as called from the device of the stream, where lanes keep everything else."""
    device = device_of(module)
    return module if device == home else Moved(module, device)


def _layer(
    block: nn.Module, names: _Names, config: object, n_layers: int, home: torch.device
) -> Layer:
    """One block as its parts."""
    whole = unwrapped(block)
    attn_bridge, mlp_bridge = block.attn, block.mlp
    attn = unwrapped(attn_bridge)  # pyright: ignore[reportArgumentType]
    n_heads = int(config.num_attention_heads)  # pyright: ignore[reportAttributeAccessIssue]
    n_kv_heads = int(getattr(config, "num_key_value_heads", None) or n_heads)
    d_model = int(config.hidden_size)  # pyright: ignore[reportAttributeAccessIssue]
    d_head = int(getattr(attn, "head_dim", None) or getattr(attn, "head_size", d_model // n_heads))
    q_norm = _optional(getattr(attn, "q_norm", None))
    k_norm = _optional(getattr(attn, "k_norm", None))

    def part(found: object, what: str) -> nn.Module:
        return _here(_required(found, what), home)

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
    gate = _optional(inner.get("gate"))

    def norm(name: str | None) -> nn.Module | None:
        return None if name is None else part(getattr(whole, name, None), name)

    return Layer(
        shape=shape,
        q=part(named.get("q"), "query projection"),
        k=part(named.get("k"), "key projection"),
        v=part(named.get("v"), "value projection"),
        o=part(named.get("o"), "output projection"),
        gate=None if gate is None else _here(gate, home),
        up=part(inner.get("in"), "MLP input projection"),
        down=part(inner.get("out"), "MLP output projection"),
        act=_activation(config),
        pre_attn=norm(names.pre_attn),
        post_attn=norm(names.post_attn),
        pre_mlp=norm(names.pre_mlp),
        post_mlp=norm(names.post_mlp),
        q_norm=None if q_norm is None else _here(q_norm, home),
        k_norm=None if k_norm is None else _here(k_norm, home),
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
