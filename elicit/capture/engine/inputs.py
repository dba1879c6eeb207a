"""What the layers of one forward share: embeddings, rotary angles, masks."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from elicit.capture.engine.calls import BlockCall, block_calls


@dataclass(frozen=True, eq=False)
class Rotary:
    """Rotation angles of each position."""

    cos: Float[Tensor, "row pos d_rotary"]
    """Cosines; one row where all rows of the batch agree."""
    sin: Float[Tensor, "row pos d_rotary"]
    """Sines."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Inputs:
    """What the layers of one forward share: embeddings, rotary angles, masks."""

    resid: Float[Tensor, "batch pos d_model"]
    """Residual stream entering the first layer."""
    mask: Int[Tensor, "batch pos"]
    """1 at tokens, 0 at padding."""
    rotary: tuple[Rotary | None, ...]
    """Angles of each layer; None where positions are added to the embedding."""
    allowed: tuple[Bool[Tensor, "row dest src"], ...]
    """Which positions may attend to which in each layer; one row where all rows of the batch agree.
    Padding attends to itself, so that no softmax is empty."""
    calls: tuple[BlockCall, ...]
    """What the model itself passes to each block."""

    def angles(
        self, layer: int
    ) -> tuple[Float[Tensor, "row pos d_rotary"] | None, Float[Tensor, "row pos d_rotary"] | None]:
        """Cosines and sines of a layer; None for both where nothing is rotated."""
        rotary = self.rotary[layer]
        return (None, None) if rotary is None else (rotary.cos, rotary.sin)


def inputs_of(
    model: nn.Module,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    position_ids: Int[Tensor, "batch pos"],
) -> Inputs:
    """Embeddings, angles and masks of a batch, made by the model itself; no layer is run."""
    with _skipped(list(model.blocks)):  # pyright: ignore[reportArgumentType]
        recorded = block_calls(model, ids, mask, position_ids)
    mask = mask.to(recorded.resid[0].device)
    masks: dict[int, Tensor] = {}
    allowed, rotary = [], []
    for call in recorded.calls:
        given = _attention_mask(call)
        if id(given) not in masks:
            masks[id(given)] = _allowed(given, mask)
        allowed.append(masks[id(given)])
        angles = call.kwargs.get("position_embeddings")
        # Layers may be on several devices; what lanes share stays with the tokens.
        rotary.append(None if angles is None else Rotary(*(a.to(mask.device) for a in angles)))  # pyright: ignore[reportGeneralTypeIssues]
    return Inputs(
        resid=recorded.resid[0],
        mask=mask,
        rotary=tuple(rotary),
        allowed=tuple(allowed),
        calls=recorded.calls,
    )


def _attention_mask(call: BlockCall) -> Tensor | None:
    """The mask among a block's arguments; GPT-2's blocks take it by position."""
    by_name = call.kwargs.get("attention_mask")
    if isinstance(by_name, Tensor):
        return by_name
    return next((a for a in call.args if isinstance(a, Tensor) and a.ndim == 4), None)


def _allowed(given: Tensor | None, mask: Tensor) -> Tensor:
    """Which positions may attend to which, from the mask that the model made itself."""
    n_pos = mask.shape[1]
    itself = torch.eye(n_pos, dtype=torch.bool, device=mask.device)
    if given is None:
        # Some kernels get "causal" instead of a mask; then nothing is padded.
        causal = torch.ones(n_pos, n_pos, dtype=torch.bool, device=mask.device).tril()
        return causal[None]
    given = given.to(mask.device)
    seen = given[:, 0] if given.dtype == torch.bool else given[:, 0] > torch.finfo(given.dtype).min
    seen = seen | itself
    return seen[:1] if len(seen) == 1 or bool((seen == seen[:1]).all()) else seen


@contextmanager
def _skipped(blocks: list[nn.Module]) -> Iterator[None]:
    """Let the blocks return their input; the model still makes masks and angles."""

    def identity(hidden_states: Tensor, *_args: object, **_kwargs: object) -> Tensor:
        return hidden_states

    # Not by setattr, which a bridge passes on to the module it wraps.
    saved = [(block, block.__dict__.get("forward")) for block in blocks]
    for block, _ in saved:
        block.__dict__["forward"] = identity
    try:
        yield
    finally:
        for block, forward in saved:
            if forward is None:
                block.__dict__.pop("forward", None)
            else:
                block.__dict__["forward"] = forward
