"""pass@k: how often one of k samples is right, and how much of that is chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats.estimate import joint_estimate
from elicit.stats.inference import Inference


@dataclass(frozen=True, eq=False, kw_only=True)
class PassCurve(Result):
    """How often at least one of k samples is right, beside what chance would reach.

    Where answers are few, many samples hit by chance: a model without skill passes most problems at
    a large k. Only what is above the floor is ability.
    """

    k: Int[Tensor, " k"]
    """Samples of which one must be right."""
    passed: Annotated[Estimate, "k"]
    """Mean pass@k over problems, with intervals simultaneous over k."""
    floor: Annotated[Estimate, "k"]
    """The same with samples graded against the answers of other problems, mean over all others."""
    above: Annotated[Estimate, "k"]
    """passed - floor, with intervals simultaneous over k."""
    by_problem: Float[Tensor, "problem k"]
    """pass@k of each problem."""
    floor_by_problem: Float[Tensor, "problem k"]
    """pass@k of each problem's samples graded against the answers of all other problems."""
    above_by_problem: Float[Tensor, "problem k"]
    """What each problem says of `above`: the mean over problems is `above`."""
    n_samples: int
    """Samples of each problem. At a k near it a problem's pass@k is hardly an average: at k equal
    to it, it is 0 or 1."""
    level: float
    """Nominal coverage of the intervals."""


def pass_at_k(
    n_correct: Int[Tensor, " problem"], n_samples: int, k: Sequence[int]
) -> Float[Tensor, "problem k"]:
    """Chance that at least one of k samples drawn without replacement is right.

    Args:
        n_correct: Right samples of each problem, in [0, n_samples].
        n_samples: Samples of each problem, at least 1.
        k: Samples drawn, each in [1, n_samples].

    Raises:
        ValueError: More right samples than samples, or a k out of range.

    Source: Chen et al. 2021, arXiv:2107.03374, eq. 1: 1 - C(n-c, k)/C(n, k), unbiased where
        1 - (1 - c/n)^k is not. In logs, so that it neither overflows nor loses a small chance.
    """
    if len(n_correct) and not 0 <= int(n_correct.min()) <= int(n_correct.max()) <= n_samples:
        raise ValueError(
            f"n_correct runs from {int(n_correct.min())} to {int(n_correct.max())} and there are "
            f"{n_samples} samples of each problem. Pass how many of them are right."
        )
    wrong = [each for each in k if not 1 <= each <= n_samples]
    if wrong or len(k) == 0:
        raise ValueError(
            f"k is {list(k)} and there are {n_samples} samples of each problem: without all k "
            "samples nothing unbiased can be said. Draw more samples, or pass k in "
            f"[1, {n_samples}]."
        )
    every = torch.arange(1, n_samples + 1, dtype=torch.float64)
    chosen = torch.tensor(list(k), dtype=torch.float64)
    # C(m, k) / C(n, k) is the product of 1 - k/i over i from m + 1 to n.
    factors = torch.where(
        every > chosen[:, None], torch.log1p(-chosen[:, None] / every), torch.zeros(())
    )
    upto = torch.cat([factors.new_zeros(len(k), 1), factors.cumsum(dim=1)], dim=1)
    left = n_samples - n_correct.long()
    missed = upto[:, -1:] - upto[:, left]
    passed = -torch.expm1(missed)
    return torch.where(left >= chosen[:, None], passed, torch.ones(())).T.contiguous()


def pass_curve(
    answers: Int[Tensor, "problem sample"],
    right: Int[Tensor, " problem"],
    *,
    k: Sequence[int] | None = None,
    inference: Inference = Inference(),
) -> PassCurve:
    """How often at least one of k samples is right, beside what chance would reach.

    The floor grades the samples of each problem against the right answer of every other one. It is
    the mean over all such assignments, so nothing is drawn; other problems whose answer happens to
    be the same count, as they would by chance.

    Args:
        answers: Number of the answer that each sample gives, the same number for the same answer
            in all problems; negative where it gives none, which is never right.
        right: Number of each problem's right answer, at least 0.
        k: Samples drawn, each in [1, sample]; None: every k.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        ValueError: Fewer than 2 problems, a right answer without a number, or a k out of range.

    Source: Chen et al. 2021 for pass@k. Intervals of what is above the floor count that a problem
        is graded and lends its answer to the others (Hájek's projection).
    """
    n, n_samples = answers.shape
    if len(right) != n or n < 2 or int(right.min()) < 0:
        raise ValueError(
            f"there are {n} problems with answers and {len(right)} right answers"
            f"{f', the least {int(right.min())}' if len(right) else ''}, but the floor needs at "
            "least 2 problems, each with the number of its right answer, 0 or more."
        )
    chosen = list(range(1, n_samples + 1)) if k is None else list(k)
    own = (answers == right[:, None]).sum(dim=1)
    known, lender, lent = right.unique(return_inverse=True, return_counts=True)
    hits = torch.stack([(answers == each).sum(dim=1) for each in known.tolist()], dim=1)
    by_count = pass_at_k(torch.arange(n_samples + 1), n_samples, chosen)
    passed = by_count[own]
    # How many other answers each problem's samples hit so often, and each answer is hit so often.
    none = torch.zeros(1, n_samples + 1, dtype=torch.float64)
    of_problem = none.repeat(n, 1).scatter_add(1, hits, lent.double().expand(hits.shape))
    of_answer = none.repeat(len(known), 1).scatter_add(1, hits.T, torch.ones(hits.T.shape).double())
    graded = (of_problem @ by_count - passed) / (n - 1)
    lends = ((of_answer @ by_count)[lender] - passed) / (n - 1)
    floor = graded + lends - graded.mean(dim=0)
    return PassCurve(
        k=torch.tensor(chosen),
        passed=joint_estimate(passed, inference=inference, proportion=True),
        floor=joint_estimate(floor, inference=inference).within(0.0, 1.0),
        above=joint_estimate(passed - floor, inference=inference).within(-1.0, 1.0),
        by_problem=passed,
        floor_by_problem=graded,
        above_by_problem=passed - floor,
        n_samples=n_samples,
        level=inference.level,
    )
