"""Final norm and unembedding: from a residual stream to logits."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture.anatomy import unwrapped
from elicit.capture.trunk import CaptureError
from elicit.edits import active
from elicit.pair import hugging_face_model
from elicit.results import digest_tensors


@dataclass(frozen=True, eq=False, kw_only=True)
class Head:
    """What a model makes of the residual stream that leaves its last layer."""

    norm: nn.Module
    """The final norm, as the model's own forward calls it."""
    unembed: nn.Module
    """From the normed stream to logits, likewise."""
    softcap: float | None
    """Logits are squashed to within this, if at all."""
    d_vocab: int
    """Ids that are read; a model may have more rows, which are padding or its own tokens."""

    @property
    def weight(self) -> Float[Tensor, "d_vocab d_model"]:
        """Weight of the unembedding, the rows that are read."""
        return _plain(self.unembed).get_parameter("weight")[: self.d_vocab]

    @property
    def bias(self) -> Float[Tensor, " d_vocab"] | None:
        """Bias of the unembedding; None where there is none, or a bridge has put zeros."""
        found = getattr(_plain(self.unembed), "bias", None)
        return found[: self.d_vocab] if isinstance(found, Tensor) and bool(found.any()) else None

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.weight.shape[1])

    def logits(self, resid: Float[Tensor, "*token d_model"]) -> Float[Tensor, "*token d_vocab"]:
        """Logits as the model itself computes them from the stream after its last layer.

        Args:
            resid: Only the tokens that are to be read: every one costs a row of the vocabulary.
        """
        found = self.unembed(self.norm(resid))[..., : self.d_vocab]
        return found if self.softcap is None else torch.tanh(found / self.softcap) * self.softcap

    def digest(self) -> str:
        """SHA-256 of every number that turns a residual stream into logits."""
        held: dict[str, Tensor] = {"weight": self.weight.detach()}
        if self.bias is not None:
            held["bias"] = self.bias.detach()
        norm = _plain(self.norm)
        for name, value in norm.state_dict().items():
            held[f"norm.{name}"] = value
        for name in ("eps", "variance_epsilon"):
            if hasattr(norm, name):
                held[f"norm.{name}"] = torch.tensor(float(getattr(norm, name)))
        if self.softcap is not None:
            held["softcap"] = torch.tensor(self.softcap)
        return digest_tensors(held)


def head_of(model: nn.Module, *, d_vocab: int | None = None) -> Head:
    """A model's final norm and unembedding.

    Args:
        model: A bridge in raw mode.
        d_vocab: Ids that are read; None reads every row of the unembedding.

    Raises:
        CaptureError: The model's logits are not those of its final norm, unembedding and softcap,
            so that what is read below its last layer would be another model's.
    """
    config: Any = hugging_face_model(model).config
    unembed: Any = model.unembed
    head = Head(
        norm=model.ln_final,  # pyright: ignore[reportArgumentType]
        unembed=unembed,
        softcap=getattr(config, "final_logit_softcapping", None),
        d_vocab=d_vocab or int(_plain(unembed).get_parameter("weight").shape[0]),
    )
    if active(model) is None:
        # Edits may speak of rows that this text does not have; the head is the same under them.
        _check(model, head)
    return head


def _plain(module: nn.Module) -> nn.Module:
    """The module that holds the parameters."""
    found = unwrapped(module)
    assert found is not None
    return found


@torch.no_grad()
def _check(model: nn.Module, head: Head) -> None:
    """Hold the head against the model's own logits, on the simplest text there is."""
    hf_model = hugging_face_model(model)
    seen: list[Tensor] = []
    handle = head.norm.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    device = next(hf_model.parameters()).device
    try:
        own = hf_model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=device)).logits
    finally:
        handle.remove()
    wanted = own[0, :, : head.d_vocab].float()
    found = head.logits(seen[-1][0]).float() if seen else torch.full_like(wanted, torch.nan)
    size = max(1.0, wanted[wanted.isfinite()].abs().max().item())
    rounding = 1e-5 if own.dtype in (torch.float32, torch.float64) else 0.02
    same = found.isfinite() == wanted.isfinite()
    gap = (found - wanted)[same & wanted.isfinite()].abs().max().item() if same.any() else 1.0
    if not bool(same.all()) or not gap <= rounding * size:
        raise CaptureError(
            f"the model's logits differ by {gap:.3g} from those of its final norm, unembedding and "
            "softcap, so it scales or masks them elsewhere and a lens would read another model. "
            "Pass a model whose logits are unembed(ln_final(resid))."
        )
