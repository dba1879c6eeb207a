"""The calls of a model's blocks in one forward of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from elicit.capture.errors import CaptureError
from elicit.pair import device_of, hugging_face_model


@dataclass(frozen=True, eq=False, kw_only=True)
class BlockCall:
    """What a block was called with besides the residual stream."""

    args: tuple[object, ...]
    """Positional arguments."""
    kwargs: Mapping[str, object]
    """Arguments by name."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BlockCalls:
    """All calls of one forward, in order."""

    resid: tuple[Float[Tensor, "batch pos d_model"], ...]
    """Residual stream entering each layer; the last entry leaves the last layer."""
    calls: tuple[BlockCall, ...]
    """The other arguments of each block."""


def block_calls(
    model: nn.Module,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    position_ids: Int[Tensor, "batch pos"],
) -> BlockCalls:
    """Run a batch once and record how its blocks are called.

    Raises:
        CaptureError: The blocks of this architecture are not called one after the other.
    """
    blocks = list(model.blocks)  # pyright: ignore[reportArgumentType]
    resid: list[Tensor] = []
    calls: list[BlockCall] = []
    leaving: list[Tensor] = []

    def enter(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        rest = {name: value for name, value in kwargs.items() if name != "hidden_states"}
        resid.append(args[0] if args else kwargs["hidden_states"])
        calls.append(BlockCall(args=args[1:], kwargs=rest))

    def leave(_module: nn.Module, _args: tuple, output: object) -> None:
        leaving.append(stream_of(output))

    handles = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in blocks]
    handles.append(blocks[-1].register_forward_hook(leave))
    device = device_of(model)
    try:
        hugging_face_model(model)(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=position_ids.to(device),
            use_cache=False,
            logits_to_keep=1,
        )
    finally:
        for handle in handles:
            handle.remove()
    if len(calls) != len(blocks) or len(leaving) != 1:
        raise CaptureError(
            f"the model has {len(blocks)} blocks, but one forward made {len(calls)} calls of "
            "blocks, so calls cannot be assigned to layers. Run whole forwards instead."
        )
    return BlockCalls(resid=(*resid, leaving[0]), calls=tuple(calls))


def stream_of(output: object) -> Tensor:
    """The residual stream in what a block returns.

    Raises:
        CaptureError: There is none.
    """
    stream = output[0] if isinstance(output, tuple) else output
    if not isinstance(stream, Tensor):
        raise CaptureError(
            f"a block returned {type(stream).__name__} instead of the residual stream, so layers "
            "cannot be run one by one. Run whole forwards instead."
        )
    return stream
