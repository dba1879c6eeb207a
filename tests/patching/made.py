"""Sweeps made by hand, so that every number in a result is known beforehand."""

from collections.abc import Sequence

import torch
from torch import Tensor

from elicit.patching.conclusion import conclude_grid
from elicit.patching.contrast import Contrast
from elicit.patching.grid import PatchGrid
from elicit.patching.swap import across
from elicit.patching.values import SweepValues
from elicit.sites import Site
from elicit.stats import Inference


def contrast(n: int) -> Contrast:
    """`n` problems of three tokens."""
    return Contrast(
        clean=tuple((1, 2, 10 + i) for i in range(n)),
        corrupted=None,
        answer=((5,),) * n,
        wrong=((6,),) * n,
        id=tuple(f"p{i}" for i in range(n)),
        words=(("<bos>", "Q", "A"),) * n,
    )


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sweep(
    effects: Tensor,
    sites: Sequence[Site],
    *,
    gap: float | Tensor = 4.0,
    pos: tuple[str, ...] | None = None,
    **given: object,
) -> SweepValues:
    """Values of effects `[site pos problem]` (or with more axes before) on a host near 1."""
    n = effects.shape[-1]
    while effects.ndim < 5:
        effects = effects[None]
    host = 1 + 0.3 * noise(effects.shape[1], n, seed=99)
    metrics = ("logit_diff", "log_prob", "probability", "kl")[: effects.shape[1]]
    return SweepValues(
        sites=tuple(sites),
        pos=pos or tuple(f"{i} w{i}" for i in range(effects.shape[3])),
        width=tuple(range(1, len(effects) + 1)),
        host=host,
        donor=host + gap,
        patched=host[:, None, None] + effects,
        **{"metric": metrics, **given},  # pyright: ignore
    )


def grid(values: SweepValues, **given: object) -> PatchGrid:
    """What the values say, from few resamples."""
    options = {"swap": across(), "inference": Inference(n_resamples=400), **given}
    return conclude_grid(
        values,
        contrast=contrast(values.n_problems),
        **options,  # pyright: ignore
    )
