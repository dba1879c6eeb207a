"""Lenses: predictions of a layer read as if it were the last.

A lens maps an intermediate residual stream to the state that the final norm and unembedding (an
`Unembed`) read. Lens and unembedding are chosen independently: base's states through post's
unembedding are a cross reading, not another lens.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import Unembed
from elicit.results import Result
from elicit.revision.errors import RevisionError

Norm = Literal["once", "none", "twice"]
"""Final norm before unembedding; `twice` results from norming an already normed final stream."""


@runtime_checkable
class Lens(Protocol):
    """A way to read the residual stream of a layer as if it had left the last one."""

    def state(
        self, resid: Float[Tensor, "*token d_model"], *, layer: int
    ) -> Float[Tensor, "*token d_model"]:
        """The state that the final norm and unembedding read.

        Args:
            resid: Residual stream after `layer` blocks.
            layer: Blocks run so far, 0 (the embedding) to n_layers - 1.
        """
        ...


@dataclass(frozen=True)
class LogitLens:
    """The residual stream itself, read by the final norm and unembedding.

    Source: nostalgebraist 2020, with the final norm always applied.
    """

    def state(
        self, resid: Float[Tensor, "*token d_model"], *, layer: int
    ) -> Float[Tensor, "*token d_model"]:
        """The residual stream, whatever the layer.

        Args:
            resid: Residual stream after `layer` blocks.
            layer: Not looked at: this lens reads every layer alike.
        """
        return resid


@dataclass(frozen=True, eq=False, kw_only=True)
class TunedLens(Result):
    """One affine map per layer, from its residual stream to the final one."""

    weight: Float[Tensor, "layer d_model d_in"]
    """What is added to the identity: state = resid + weight @ resid + bias."""
    bias: Float[Tensor, "layer d_model"]
    """Shift of each layer; layer 0 reads the embedding."""
    variant: Literal["affine", "bias"]
    """Fitted variant; a bias alone cannot compute anything that the layer has not."""
    model: str
    """Model whose states it was fitted on."""
    head: str
    """Model whose final norm and unembedding read it."""
    head_digest: str
    """SHA-256 of that final norm and unembedding, the only ones that may read this lens."""

    @property
    def n_layers(self) -> int:
        """Layers of the model; the state after the last needs no lens."""
        return len(self.bias)

    def state(
        self, resid: Float[Tensor, "*token d_model"], *, layer: int
    ) -> Float[Tensor, "*token d_model"]:
        """The residual stream, mapped to the predicted final stream.

        Args:
            resid: Residual stream after `layer` blocks.
            layer: Blocks run so far, 0 (the embedding) to n_layers - 1.

        Raises:
            RevisionError: The lens has no such layer, or the stream another width.
        """
        if not 0 <= layer < self.n_layers or resid.shape[-1] != self.bias.shape[1]:
            raise RevisionError(
                f"the lens has layers 0 to {self.n_layers - 1} of width {self.bias.shape[1]}, and "
                f"layer {layer} of width {resid.shape[-1]} was to be read, so it belongs to "
                "another model. Fit a lens on this one with fit_tuned_lens."
            )
        # Half precision would round a small correction away.
        wide = resid.to(torch.promote_types(resid.dtype, self.weight.dtype))
        weight, bias = self.weight[layer].to(wide), self.bias[layer].to(wide)
        return (wide + wide @ weight.T + bias).to(resid.dtype)

    def _widest(self) -> tuple[str, ...]:
        """Axes of the main table: with the weights it would have a row for each of them."""
        return ("layer", "d_model")


def check_lens(lens: Lens, unembed: Unembed, *, n_layers: int, name: str) -> None:
    """Refuse a lens that was fitted for another model, before anything is run.

    Raises:
        RevisionError: It is not a lens, or its head, width or number of layers are another model's.
    """
    if not isinstance(lens, Lens):
        raise RevisionError(
            f"lens is {lens!r}, which has no method state(resid, layer=...), so nothing could be "
            "read through it. Pass LogitLens(), a fitted TunedLens, or an object that has it."
        )
    if not isinstance(lens, TunedLens):
        return
    if lens.n_layers != n_layers or lens.bias.shape[1] != unembed.d_model:
        raise RevisionError(
            f"the lens has {lens.n_layers} layers of width {lens.bias.shape[1]} and {name} has "
            f"{n_layers} of width {unembed.d_model}, so it was fitted on another model "
            f"({lens.model}). Fit one on this model with fit_tuned_lens."
        )
    digest = unembed.digest()
    if digest != lens.head_digest:
        raise RevisionError(
            f"the lens was fitted through a final norm and unembedding with the digest "
            f"{lens.head_digest[:12]} ({lens.head}) and would be read through one with "
            f"{digest[:12]} ({name}), so its states mean nothing there. Pass the head it was "
            "fitted for, or fit one through this head."
        )


def normed(
    unembed: Unembed, state: Float[Tensor, "token d_model"], *, norm: Norm = "once"
) -> Float[Tensor, "token d_model"]:
    """What the unembedding reads of a state."""
    if norm == "none":
        return state
    once = unembed.norm(state)
    return unembed.norm(once) if norm == "twice" else once


@torch.no_grad()
def lens_logits(
    lens: Lens,
    unembed: Unembed,
    resid: Float[Tensor, "*token d_model"],
    *,
    layer: int,
    n_layers: int,
) -> Float[Tensor, "*token d_vocab"]:
    """Logits of a layer, all at once: for a few tokens; `profile` reads many in blocks.

    After the last layer they are the model's own, exactly: no lens is applied there.

    Args:
        lens: How the layer is read.
        unembed: Final norm and unembedding.
        resid: Residual stream after `layer` blocks.
        layer: Blocks run so far, 0 to n_layers.
        n_layers: Blocks of the model.
    """
    return unembed.logits(resid if layer == n_layers else lens.state(resid, layer=layer))


def lens_name(lens: Lens) -> str:
    """Name of a lens in tables."""
    variant = getattr(lens, "variant", None)
    name = type(lens).__name__
    return f"{name} ({variant}, fitted on {getattr(lens, 'model', '?')})" if variant else name
