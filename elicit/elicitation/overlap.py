"""Do several mechanisms solve the same problems that base does not?"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.elicitation.errors import ElicitationError
from elicit.results import Result
from elicit.stats import holm


@dataclass(frozen=True, eq=False, kw_only=True)
class SolvedOverlap(Result):
    """Problems that two mechanisms solve and base does not, beside what difficulty alone gives.

    Easy problems are solved by everything, so that some overlap says nothing: under the null, each
    mechanism solves as many problems of each difficulty as it does, but any of them.
    """

    mechanism: tuple[str, ...]
    """Name of each mechanism."""
    other: tuple[str, ...]
    """The same names, for the second axis."""
    n_solved: Int[Tensor, " mechanism"]
    """Newly solved problems: base is wrong, the mechanism right in more than half of its runs."""
    shared: Int[Tensor, "mechanism other"]
    """Problems that both newly solve."""
    expected: Float[Tensor, "mechanism other"]
    """The same under the null, on average."""
    p: Float[Tensor, "mechanism other"]
    """Chance under the null of sharing at least as many, Holm-adjusted over all pairs; exact. NaN
    of a mechanism and itself."""
    decidable: Float[Tensor, "mechanism other"]
    """Smallest unadjusted p-value that the pair could have had, from its numbers by difficulty:
    where it is large, no overlap could have been seen."""
    n_failed: int
    """Problems that base does not solve."""
    n_strata: int
    """Difficulties among them."""


def solved_overlap(
    base: Float[Tensor, " problem"],
    right: Mapping[str, Float[Tensor, " problem"]],
    difficulty: Sequence[Hashable],
) -> SolvedOverlap:
    """Overlap of newly solved problems against a null matched for difficulty.

    Args:
        base: Whether base is right on each problem.
        right: Of each mechanism, whether it is right, or the share of its runs that are.
        difficulty: Difficulty of each problem; problems of one difficulty may change places.

    Raises:
        ElicitationError: There are no two mechanisms, or numbers of problems differ.

    Source: Fisher's exact test in each stratum, their counts added (the exact null of
        Mantel-Haenszel's statistic).
    """
    names = tuple(right)
    lengths = {len(base), len(difficulty), *map(len, right.values())}
    if len(names) < 2 or len(lengths) > 1:
        raise ElicitationError(
            f"{len(names)} mechanisms on {sorted(lengths)} problems were given, and overlap needs "
            "at least two on the same problems. Give one value for each problem."
        )
    failed = (base <= 0.5).nonzero()[:, 0].tolist()
    known = {value: place for place, value in enumerate(dict.fromkeys(difficulty))}
    strata = np.array([known[difficulty[i]] for i in failed], dtype=np.int64)
    solved = np.array([(one > 0.5).numpy()[failed] for one in right.values()], dtype=bool)
    n = len(names)
    shared = (solved[:, None] & solved[None]).sum(-1)
    expected = np.zeros((n, n))
    p, least = np.full((n, n), np.nan), np.full((n, n), np.nan)
    for i in range(n):
        for j in range(i + 1, n):
            chances = _null(solved[i], solved[j], strata)
            expected[i, j] = float(chances @ np.arange(len(chances)))
            p[i, j] = min(1.0, float(chances[shared[i, j] :].sum()))
            least[i, j] = float(chances[np.flatnonzero(chances)[-1]])
    above = np.triu_indices(n, 1)
    p[above] = holm(p[above])
    for table in (expected, p, least):
        table.T[above] = table[above]
    expected[np.diag_indices(n)] = solved.sum(-1)
    return SolvedOverlap(
        mechanism=names,
        other=names,
        n_solved=torch.from_numpy(solved.sum(-1)),
        shared=torch.from_numpy(shared),
        expected=torch.from_numpy(expected),
        p=torch.from_numpy(p),
        decidable=torch.from_numpy(least),
        n_failed=len(failed),
        n_strata=len(set(strata.tolist())),
    )


def _null(
    a: np.ndarray, b: np.ndarray, strata: Int[np.ndarray, " problem"]
) -> Float[np.ndarray, " count"]:
    """Chance of every number of shared problems, where they are drawn within strata."""
    from scipy.stats import hypergeom

    chances = np.ones(1)
    for stratum in np.unique(strata):
        here = strata == stratum
        n, n_a, n_b = int(here.sum()), int(a[here].sum()), int(b[here].sum())
        one = hypergeom.pmf(np.arange(min(n_a, n_b) + 1), n, n_a, n_b)
        chances = np.convolve(chances, one)
    return chances
