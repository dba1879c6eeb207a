"""Read activations; go on with a forward from any layer.

A `Trunk` is one forward over a batch with the residual stream kept as it enters each layer.
Whatever changes a model from layer `l` on shares the trunk below `l`: `run_layers` takes the kept
residual and runs only the layers from there, with the very arguments (mask, rotary angles) of the
trunk's own run.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.pair import hugging_face_model
from elicit.results import ElicitError


class CaptureError(ElicitError):
    """A forward that cannot be taken apart into layers."""


@dataclass(frozen=True)
class _Call:
    """The arguments of one block beside the residual stream."""

    args: tuple[object, ...]
    kwargs: Mapping[str, object]


@dataclass(frozen=True, eq=False, kw_only=True)
class Trunk:
    """One forward, cut at every layer."""

    resid: tuple[Float[Tensor, "batch pos d_model"], ...]
    """Residual stream entering each layer; the last entry leaves the last layer."""
    calls: tuple[_Call, ...]
    """What each block was called with besides."""

    @property
    def n_layers(self) -> int:
        """Blocks in the model."""
        return len(self.calls)


def _first(output: object) -> Tensor:
    """The residual stream in what a block returns."""
    found = output[0] if isinstance(output, tuple) else output
    if not isinstance(found, Tensor):
        raise CaptureError(
            f"a block returned {type(found).__name__} where the residual stream was expected, so "
            f"its layers cannot be "
            "run one by one. Score with resume=False."
        )
    return found


def record(
    model: nn.Module,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    position_ids: Int[Tensor, "batch pos"],
) -> Trunk:
    """Run a batch once and keep the residual stream before each layer.

    Args:
        model: A bridge in raw mode.
        ids: Token ids.
        mask: 1 at tokens, 0 at padding.
        position_ids: Place of each token in its own row.

    Raises:
        CaptureError: The blocks of this architecture are not called one after the other.
    """
    blocks = list(model.blocks)  # pyright: ignore[reportArgumentType]
    enters: list[Tensor] = []
    calls: list[_Call] = []
    leaves: list[Tensor] = []

    def enter(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        rest = {name: value for name, value in kwargs.items() if name != "hidden_states"}
        enters.append(args[0] if args else kwargs["hidden_states"])
        calls.append(_Call(args[1:], rest))

    def leave(_module: nn.Module, _args: tuple, output: object) -> None:
        leaves.append(_first(output))

    handles = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in blocks]
    handles.append(blocks[-1].register_forward_hook(leave))
    try:
        hugging_face_model(model)(
            input_ids=ids,
            attention_mask=mask,
            position_ids=position_ids,
            use_cache=False,
            logits_to_keep=1,
        )
    finally:
        for handle in handles:
            handle.remove()
    if len(calls) != len(blocks) or len(leaves) != 1:
        raise CaptureError(
            f"the model has {len(blocks)} blocks and {len(calls)} calls of blocks were seen in one "
            f"forward, so a layer "
            "cannot be told from its calls. Score with resume=False."
        )
    return Trunk(resid=(*enters, leaves[0]), calls=tuple(calls))


def run_layers(
    model: nn.Module,
    trunk: Trunk,
    resid: Float[Tensor, "batch pos d_model"],
    *,
    first: int,
    last: int | None = None,
) -> Float[Tensor, "batch pos d_model"]:
    """Run the layers `first` to `last` on a residual stream.

    Args:
        model: The model whose layers are run.
        trunk: A recorded forward of the same model over the same tokens: gives masks and positions.
        resid: Residual stream entering layer `first`.
        first: First layer to run; `n_layers` runs none.
        last: Last layer to run, included; None runs to the end.

    Returns:
        Residual stream leaving the last layer that was run.
    """
    blocks = list(model.blocks)  # pyright: ignore[reportArgumentType]
    end = len(blocks) if last is None else last + 1
    for layer in range(first, end):
        call = trunk.calls[layer]
        resid = _first(blocks[layer](resid, *call.args, **call.kwargs))
    return resid


def logits_at(
    model: nn.Module,
    resid: Float[Tensor, "batch pos d_model"],
    row: Int[Tensor, " slot"],
    pos: Int[Tensor, " slot"],
) -> Float[Tensor, "slot d_vocab"]:
    """Logits at a few positions only, from the residual stream after the last layer.

    Args:
        model: The model whose final norm and unembedding are used.
        resid: Residual stream leaving the last layer.
        row: Row of each position wanted.
        pos: The positions.
    """
    picked = resid[row, pos][None]
    logits = model.unembed(model.ln_final(picked))[0]  # pyright: ignore[reportCallIssue]
    cap = getattr(hugging_face_model(model).config, "final_logit_softcapping", None)
    return torch.tanh(logits / cap) * cap if cap else logits


def full_logits(
    model: nn.Module,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    position_ids: Int[Tensor, "batch pos"],
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits of one plain forward: what every resumed forward must agree with."""
    return hugging_face_model(model)(
        input_ids=ids, attention_mask=mask, position_ids=position_ids, use_cache=False
    ).logits
