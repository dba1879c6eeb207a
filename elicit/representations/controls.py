"""Controls of a probe: random labels, and surface features of the text."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.representations.labels import Labelled, numbered

SURFACES = ("token", "position", "both")
"""Inputs of the surface baselines: the token, its position, or both."""


def control_targets(
    labelled: Labelled, *, n_draws: int, seed: int
) -> Int[Tensor, "draw example"] | None:
    """Labels of the control task: drawn once per type, from the label frequencies.

    A probe can learn them only by memorising types. None with fewer than two types, where all
    labels would be equal.

    Source: Hewitt & Liang 2019, arXiv:1909.03368.
    """
    kinds, target = numbered(labelled.type), labelled.target
    n_types = int(kinds.max()) + 1
    if n_types < 2:
        return None
    share = torch.bincount(target).double().numpy()
    share = share / share.sum()
    rng = np.random.default_rng([seed, 1])
    draws = []
    while len(draws) < n_draws:
        drawn = rng.choice(len(share), size=n_types, p=share)
        # A draw that gives every type the same label is no task.
        if len(set(drawn.tolist())) > 1:
            draws.append(torch.from_numpy(drawn)[kinds])
    return torch.stack(draws)


def shuffled_targets(
    target: Int[Tensor, " example"], *, n_draws: int, seed: int
) -> Int[Tensor, "draw example"]:
    """Labels randomly permuted over the examples."""
    rng = np.random.default_rng([seed, 2])
    return torch.stack(
        [target[torch.from_numpy(rng.permutation(len(target)))] for _ in range(n_draws)]
    )


def surface(
    labelled: Labelled, fit: Bool[Tensor, " example"]
) -> Float[Tensor, "surface example feature"]:
    """One-hot token, one-hot position, and both, of every example, padded with zeros.

    A token or position unseen in the fit examples is all zeros.
    """
    tokens = [row[index] for row, index in zip(labelled.rows, labelled.position, strict=True)]
    parts = [_one_hot(tokens, fit), _one_hot(list(labelled.position), fit)]
    width = sum(part.shape[1] for part in parts)
    result = torch.zeros(len(SURFACES), len(labelled), width, dtype=torch.float64)
    result[0, :, : parts[0].shape[1]] = parts[0]
    result[1, :, : parts[1].shape[1]] = parts[1]
    result[2] = torch.cat(parts, dim=1)
    return result


def _one_hot(values: list[int], fit: Bool[Tensor, " example"]) -> Float[Tensor, "example feature"]:
    given = torch.tensor(values)
    return (given[:, None] == given[fit].unique()[None]).double()
