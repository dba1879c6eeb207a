"""Splits by problem, stratified by label."""

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor


def split_problems(
    group: Int[Tensor, " example"], target: Int[Tensor, " example"], *, share: float, seed: int
) -> Bool[Tensor, " example"]:
    """Which examples are held out: about `share` of the problems of each label."""
    order, start = _by_label(group, target, seed)
    held = torch.zeros(int(group.max()) + 1, dtype=torch.bool)
    for subset in np.split(order, start):
        n = min(max(round(share * len(subset)), 1), len(subset) - 1)
        held[torch.from_numpy(subset[:n])] = True
    return held[group]


def folds(
    group: Int[Tensor, " example"], target: Int[Tensor, " example"], *, n_folds: int, seed: int
) -> Int[Tensor, " example"]:
    """Fold of each example, with problems of a label spread evenly over folds."""
    order, _ = _by_label(group, target, seed)
    fold = torch.zeros(int(group.max()) + 1, dtype=torch.long)
    fold[torch.from_numpy(order)] = torch.arange(len(order)) % n_folds
    return fold[group]


def _by_label(
    group: Int[Tensor, " example"], target: Int[Tensor, " example"], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Problems in random order, grouped by their rarest label; start of each group.

    A problem with several labels is grouped by the rarest, the hardest to have on both sides.
    """
    problems = group.unique().numpy()
    shuffled = np.random.default_rng(seed).permutation(problems)
    pairs = torch.stack([group, target]).unique(dim=1)
    held = torch.bincount(pairs[1], minlength=int(target.max()) + 1)
    rarest = {}
    for problem, label in pairs.T.tolist():
        best = rarest.get(problem, label)
        rarest[problem] = min(best, label, key=lambda one: (int(held[one]), one))
    label = np.array([rarest[int(problem)] for problem in shuffled])
    by_label = np.argsort(label, kind="stable")
    return shuffled[by_label], np.flatnonzero(np.diff(label[by_label])) + 1
