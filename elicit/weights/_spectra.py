"""Singular values of a weight difference, and directions that are new in it."""

from collections.abc import Iterable

import torch
from torch import Tensor

from elicit.weights.slots import Slot

INTRUDER_TOP = 10
INTRUDER_COSINE = 0.5


def spectrum(base: Tensor, post: Tensor, delta: Tensor, *, outside: bool) -> dict[str, float]:
    """Spectral norm, ranks and intruder dimensions of one changed matrix.

    `outside`: whether the matrix lies outside the layers, where intruders are not counted.
    """
    singular = _singular(delta)
    top = singular.max().item()
    energy = singular**2
    share = singular / singular.sum() if top else singular
    row = {
        "spectral_norm": top / max(_singular(base).max().item(), 1e-300),
        "stable_rank": (energy.sum() / energy.max()).item() if top else 0.0,
        "entropy_rank": torch.special.entr(share).sum().exp().item() if top else 0.0,
        "rank_90": float((energy.cumsum(0) < 0.9 * energy.sum()).sum().item() + 1) if top else 0.0,
    }
    if not outside:
        row["intruders"] = float(_intruders(base, post)) if top else 0.0
    return row


def spectra_flop(slots: Iterable[Slot]) -> float:
    """Floating-point operations that `spectrum` takes over some matrices, by count.

    Args:
        slots: Tensors that differ; vectors cost nothing.
    """
    total = 0.0
    for slot in slots:
        if slot.base.ndim != 2:
            continue
        small, large = sorted(slot.base.shape)
        # Gram matrices and eigenvalues of three matrices, eigenvectors of two.
        total += 6 * small**2 * large + 2 * 4 / 3 * small**3
        if slot.place.layer >= 0:
            total += 2 * 9 * small**3
    return total


def _singular(matrix: Tensor) -> Tensor:
    """Singular values, largest first, from the Gram matrix of the smaller side in float64."""
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().flip(0)


def _left(matrix: Tensor) -> Tensor:
    """Left singular vectors of nonzero singular value, the leading ones last."""
    if matrix.shape[0] <= matrix.shape[1]:
        return torch.linalg.eigh(matrix @ matrix.T)[1]
    values, right = torch.linalg.eigh(matrix.T @ matrix)
    size = values.clamp(min=0).sqrt()
    held = size > size.max() * 1e-7
    return matrix @ right[:, held] / size[held]


def _intruders(base: Tensor, post: Tensor) -> int:
    cosines = (_left(post)[:, -INTRUDER_TOP:].T @ _left(base)).abs()
    return int((cosines.amax(dim=1) < INTRUDER_COSINE).sum())
