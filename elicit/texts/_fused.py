"""A layer's statistics in two passes over a block of logits, by Triton, where that is at hand."""

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from elicit.texts.errors import TextError
from elicit.texts.predictions import FLOOR, LN2, Final, Reading

_PROBE = 16
"""Tokens of the first block that are computed both ways."""
AGREEMENT = 1e-5
"""Largest difference from the plain way that is rounding, nats."""


class FusedWarning(UserWarning):
    """The fused kernel is not used, and every block is computed the plain way."""


def serves(z: Tensor) -> bool:
    """Whether a block can be computed here: float32 on a CUDA device with Triton."""
    return z.is_cuda and z.dtype == torch.float32 and _has_triton()


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


class Fused:
    """The fused way of one readout, held against the plain way before it is used."""

    used: bool | None
    """None until the first block; False once it was given up."""

    def __init__(self) -> None:
        """Not yet known to agree."""
        self.used = None

    def reading(
        self, z: Tensor, final: Final, plain: Callable[[Tensor, Final], Reading]
    ) -> tuple[Reading, Tensor] | None:
        """A layer's predictions beside the final ones, with a sum per token that must be finite.

        Args:
            z: Logits `[d_vocab token]`, which are kept.
            final: The same tokens' final predictions.
            plain: The plain way; it may overwrite the logits that it is given.

        Returns:
            None where the plain way must be taken: always without a CUDA device, and after one
            warning if the kernel cannot be built or computes something else.
        """
        if self.used is False or not serves(z):
            return None
        try:
            if self.used is None:
                few, beside = _probe(z, final)
                ours, cross = _reading(few, beside)
                # Where a block is checked at its end the final predictions may be none as well.
                if not bool((cross.isfinite() & beside.entropy.isfinite()).all()):
                    return None  # the plain way says which
                self.used = self._agrees(ours, plain(few, beside))
            return _reading(z, final) if self.used else None
        except TextError:
            raise
        except Exception as error:  # a compiler of its own, with errors of its own
            self._give_up(f"it cannot be built here: {type(error).__name__}: {str(error)[:200]}")
            return None

    def _agrees(self, ours: Reading, plain: Reading) -> bool:
        scale = 1.0 + torch.nan_to_num(plain.kl, posinf=0.0)
        gaps = [getattr(ours, name) - getattr(plain, name) for name in ("jsd", "entropy", "prob")]
        gaps.append((ours.kl - plain.kl) / scale)
        apart = max(float(torch.nan_to_num(gap).abs().max()) for gap in gaps)
        if apart <= AGREEMENT and torch.equal(ours.rank, plain.rank):
            return True
        self._give_up(f"it differs from the plain way by {apart:.2g}")
        return False

    def _give_up(self, why: str) -> None:
        self.used = False
        warnings.warn(
            f"the fused kernel of lens statistics is not used: {why}. Results are those of the "
            "plain way, which takes longer.",
            FusedWarning,
            stacklevel=5,
        )


def _probe(z: Tensor, final: Final) -> tuple[Tensor, Final]:
    """The first few tokens of a block, copied."""
    few = slice(0, min(_PROBE, z.shape[1]))
    return z[:, few].clone(), Final(
        probs=final.probs[:, few].contiguous(),
        entropy=final.entropy[few],
        top=final.top[few],
        top_prob=final.top_prob[few],
        log_norm=final.log_norm[few],
    )


def _reading(z: Tensor, final: Final) -> tuple[Reading, Tensor]:
    # Triton launches on the current device and stream, wherever the tensors are: on another GPU a
    # kernel would be refused, or read what is not yet written.
    with torch.cuda.device_of(z):
        return _launched(z, final)


def _launched(z: Tensor, final: Final) -> tuple[Reading, Tensor]:
    kernels = importlib.import_module("elicit.texts._kernels")
    n_ids, n_tokens = z.shape
    largest = z.amax(0)
    watched = (z.gather(0, final.top[None])[0] - largest).clamp(min=FLOOR)
    # float32 within a split of the ids, float64 across.
    n_splits = -(-n_ids // kernels.IDS.value)
    grid = (-(-n_tokens // kernels.TOKENS.value), n_splits)
    sums = torch.empty(n_splits, 3, n_tokens, device=z.device)
    counts = torch.empty(n_splits, 2, n_tokens, dtype=torch.int32, device=z.device)
    size = torch.tensor([n_ids, n_tokens, z.stride(0), final.probs.stride(0)], device=z.device)
    kernels.layer_sums[grid](z, final.probs, largest, watched, sums, counts, size)
    total, cross, expected = sums.double().sum(0)
    above, lost = counts.sum(0, dtype=torch.int64)
    mixed = torch.empty(n_splits, n_tokens, device=z.device)
    share = total.reciprocal().to(z.dtype)
    kernels.mixed_sums[grid](z, final.probs, largest, share, mixed, size)
    entropy, own = total.log() - cross / total, final.entropy
    kl = torch.where(lost > 0, torch.inf, total.log() - expected - own)
    jsd = (LN2 - (mixed.double().sum(0) + own + entropy) / 2).clamp(0.0, LN2)
    reading = Reading(
        jsd=jsd.to(z.dtype),
        kl=kl.clamp(min=0.0).to(z.dtype),
        entropy=entropy.to(z.dtype),
        rank=above,
        prob=(watched.double().exp() / total).to(z.dtype),
        log_norm=(total.log() + largest).to(z.dtype),
    )
    return reading, cross
