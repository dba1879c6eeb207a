"""Final norm and unembedding: from a residual stream to logits."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from elicit.capture.errors import CaptureError
from elicit.edits import active
from elicit.pair import device_of, hugging_face_model, unwrapped, weight_of
from elicit.results import digest_tensors


class Moved(nn.Module):
    """A module on another device than the stream: its input goes there, its output returns."""

    module: nn.Module
    device: torch.device

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        """Call `module`, which computes on `device`."""
        super().__init__()
        # Not registered: the module belongs to its model.
        self.__dict__["module"], self.__dict__["device"] = module, device

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The module's output, where its input was."""
        return self.module(x.to(self.device)).to(x.device)


@dataclass(frozen=True, eq=False, kw_only=True)
class Unembed:
    """What a model makes of the residual stream that leaves its last layer."""

    norm: nn.Module
    """The final norm."""
    projection: nn.Module
    """From the normed stream to logits."""
    softcap: float | None
    """Bound that logits are squashed into; None where the model has none."""
    d_vocab: int
    """Ids that are read; a model may have more rows, which are padding or its own tokens."""

    @property
    def weight(self) -> Float[Tensor, "d_vocab d_model"]:
        """Weight of the unembedding, the rows that are read."""
        return weight_of(_plain(self.projection))[: self.d_vocab]

    @property
    def bias(self) -> Float[Tensor, " d_vocab"] | None:
        """Bias of the unembedding; None where the model has none, or the bridge added zeros."""
        plain = _plain(self.projection)
        if not isinstance(getattr(plain, "bias", None), Tensor):
            return None
        bias = weight_of(plain, "bias")
        return bias[: self.d_vocab] if bool(bias.any()) else None

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.weight.shape[1])

    def logits(self, resid: Float[Tensor, "*token d_model"]) -> Float[Tensor, "*token d_vocab"]:
        """Logits as the model computes them from the stream after its last layer.

        Args:
            resid: Only the tokens that are to be read: each costs a row of the vocabulary.
        """
        return self.capped(self.projection(self.norm(resid))[..., : self.d_vocab])

    def logits_of(
        self, normed: Float[Tensor, "token d_model"], ids: Int[Tensor, "token id"]
    ) -> Float[Tensor, "token id"]:
        """Logits of a few ids for each token, from their rows of the unembedding alone.

        Args:
            normed: The stream after the final norm.
            ids: The ids, each token its own.
        """
        plain = _plain(self.projection)
        weight = weight_of(plain)
        rows = functional.embedding(ids.to(weight.device), weight)
        logits = torch.einsum("td,tid->ti", normed.to(weight.device), rows)
        if getattr(plain, "bias", None) is not None:
            logits = logits + weight_of(plain, "bias")[ids.to(weight.device)]
        return self.capped(logits).to(normed.device)

    def capped(self, logits: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """Logits after the model's softcap, where it has one."""
        cap = self.softcap
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def on(self, device: torch.device) -> "Unembed":
        """The same where a model on another device can be read through it; a copy if need be.

        Args:
            device: That model's.
        """
        if self.weight.device == device:
            return self
        norm, projection = copy.deepcopy([unwrapped(self.norm), _plain(self.projection)])
        for module in (norm, projection):
            # Weights that wait in host memory are there for every call of the copy.
            for name in ("_hf_hook", "forward"):
                module.__dict__.pop(name, None)
            module.to(device)
        return replace(self, norm=norm, projection=projection)

    def digest(self) -> str:
        """SHA-256 of every number that turns a residual stream into logits."""
        held: dict[str, Tensor] = {"weight": self.weight.detach()}
        if self.bias is not None:
            held["bias"] = self.bias.detach()
        norm = unwrapped(self.norm)
        for name, value in norm.state_dict().items():
            held[f"norm.{name}"] = value
        for name in ("eps", "variance_epsilon"):
            if hasattr(norm, name):
                held[f"norm.{name}"] = torch.tensor(float(getattr(norm, name)))
        if self.softcap is not None:
            held["softcap"] = torch.tensor(self.softcap)
        return digest_tensors(held)


def _plain(projection: nn.Module) -> nn.Module:
    """The module that holds the weights of an unembedding."""
    return unwrapped(projection.module if isinstance(projection, Moved) else projection)


def unembed_of(model: nn.Module, *, d_vocab: int | None = None) -> Unembed:
    """A model's final norm and unembedding, as its own forward calls them.

    Args:
        model: A bridge in raw mode.
        d_vocab: Ids that are read; None reads every row of the unembedding.

    Raises:
        CaptureError: The model's logits are not those of its final norm, unembedding and softcap,
            so that what is read below its last layer would be another model's.
    """
    unembed = _unchecked(model, d_vocab)
    if active(model) is None:
        # Edits may name rows that this text does not have; the unembedding is the same under them.
        _check(model, unembed)
    return unembed


def logits_at(
    model: nn.Module,
    resid: Float[Tensor, "batch pos d_model"],
    row: Int[Tensor, " slot"],
    pos: Int[Tensor, " slot"],
) -> Float[Tensor, "slot d_vocab"]:
    """Logits at a few positions only, from the residual stream after the last layer.

    Args:
        model: The bridge whose final norm and unembedding are used.
        resid: Residual stream leaving the last layer.
        row: Row of each position.
        pos: The positions.
    """
    unembed = _unchecked(model)
    # The stream may be the other model's, on another device.
    read = resid[row.to(resid.device), pos.to(resid.device)].to(device_of(unembed.norm))
    return unembed.logits(read[None])[0]


def _unchecked(model: nn.Module, d_vocab: int | None = None) -> Unembed:
    config: Any = hugging_face_model(model).config
    projection: Any = model.unembed
    return Unembed(
        norm=model.ln_final,  # pyright: ignore[reportArgumentType]
        projection=projection,
        softcap=getattr(config, "final_logit_softcapping", None),
        d_vocab=d_vocab or int(unwrapped(projection).get_parameter("weight").shape[0]),
    )


@torch.no_grad()
def _check(model: nn.Module, unembed: Unembed) -> None:
    """Compare with the model's own logits, on the simplest text there is."""
    hf_model = hugging_face_model(model)
    streams: list[Tensor] = []
    handle = unembed.norm.register_forward_pre_hook(lambda _m, args: streams.append(args[0]))
    device = device_of(hf_model)
    try:
        logits = hf_model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=device)).logits
    finally:
        handle.remove()
    expected = logits[0, :, : unembed.d_vocab].float()
    nothing = torch.full_like(expected, torch.nan)
    result = unembed.logits(streams[-1][0]).float() if streams else nothing
    finite = expected.isfinite()
    if not bool(finite.any()):
        return  # Broken weights, not another unembedding: whoever reads the logits says so.
    size = max(1.0, expected[finite].abs().max().item())
    rounding = 1e-5 if logits.dtype in (torch.float32, torch.float64) else 0.02
    gap = (result - expected)[finite].abs().max().item()
    if not gap <= rounding * size or not torch.equal(result.isfinite(), finite):
        raise CaptureError(
            f"the model's logits differ by {gap:.3g} from those of its final norm, unembedding and "
            "softcap, so it scales or masks them elsewhere and a lens would read another model. "
            "Pass a model whose logits are unembed(ln_final(resid))."
        )
