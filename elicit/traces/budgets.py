"""Majority votes of both models at equal numbers of tokens, beside one thought of that length."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.rollouts import Rollouts
from elicit.stats import Inference, joint_estimate
from elicit.tasks import Task
from elicit.traces.errors import TraceError
from elicit.traces.reach import numbered
from elicit.traces.reading import Reading, Readings
from elicit.traces.voting import Ballots, vote


@dataclass(frozen=True, eq=False, kw_only=True)
class VoteSweep(Result):
    """Accuracy of majority votes at equal numbers of tokens, by model.

    A model whose texts are shorter casts more votes for the same tokens. A text that does not fit
    into what is left of a budget has no vote.
    """

    reading: tuple[str, ...]
    """`base`, `post`."""
    budget: Int[Tensor, " budget"]
    """Tokens for each problem, rising."""
    accuracy: Annotated[Estimate, "reading budget"]
    """Share of problems whose vote is right, over orders of the samples, a tie counting in equal
    parts; with intervals simultaneous over budgets."""
    difference: Annotated[Estimate, "budget"]
    """Post minus base, paired by problem, with intervals simultaneous over budgets."""
    single: Annotated[Estimate, "reading budget"]
    """Share of problems answered rightly after so many tokens of the model's one thought, at the
    last cut that is not later; NaN where thoughts were not its own."""
    n_votes: Float[Tensor, "reading budget"]
    """Mean number of texts that fit."""
    exhausted: Float[Tensor, "reading budget"]
    """Share of problems all of whose samples fit: more tokens would buy no further vote here."""
    mean_tokens: Float[Tensor, " reading"]
    """Mean length of a sample."""
    n_samples: int
    """Samples of each problem."""
    n_orders: int
    """Orders of the samples over which votes are averaged."""
    level: float
    """Nominal coverage of the intervals."""


def votes(
    task: Task,
    base: Rollouts,
    post: Rollouts,
    *,
    readings: Readings | None = None,
    budgets: Sequence[int] | None = None,
    n_orders: int = 32,
    inference: Inference = Inference(),
) -> VoteSweep:
    """Accuracy of majority votes of both models at equal numbers of tokens.

    Args:
        task: The problems.
        base: Base's samples.
        post: Post's samples, as many.
        readings: Each model's reading of its own thought, which stands beside; None leaves it out.
        budgets: Tokens for each problem, at least 1; None: the shorter mean length, doubled up to
            what the model with fewer tokens wrote on a problem in the mean.
        n_orders: Orders of the samples, at least 1; all of them where there are no more.
        inference: Coverage, resamples and seed.

    Raises:
        TraceError: The samples are of other tasks or not equally many, or an option is out of
            range.

    Source: parallel samples beside longer thoughts at equal tokens, as Ghosal et al. 2025
        (arXiv:2506.04210) compare them.
    """
    answers, right = numbered(task, (base, post))
    n_problems, n_samples = answers[0].shape
    sizes = [_sizes(texts, answers[0].shape) for texts in (base, post)]
    given = _budgets(sizes) if budgets is None else sorted(set(budgets))
    if not given or given[0] < 1 or n_orders < 1:
        raise TraceError(
            f"budgets are {given} and n_orders is {n_orders}, so there is nothing to vote with. "
            "Pass tokens of 1 or more, and 1 order or more."
        )
    limits = torch.tensor(given)
    orders = _orders(n_samples, n_orders, inference.seed)
    numbers = torch.arange(n_problems).repeat_interleave(n_samples)
    by_problem, n_votes, exhausted = [], [], []
    for answer, size in zip(answers, sizes, strict=True):
        ballots = Ballots(answer=answer.flatten(), problem=numbers, right=right)
        spent = torch.stack([_spent(size, order) for order in orders])
        fits = spent[..., None] <= limits
        by_order = [
            torch.stack([vote(ballots, kept=kept) for kept in fit.flatten(0, 1).T], dim=1)
            for fit in fits
        ]
        by_problem.append(torch.stack(by_order).mean(dim=0))
        n_votes.append(fits.double().sum(dim=2).mean(dim=(0, 1)))
        exhausted.append(fits.all(dim=2).double().mean(dim=(0, 1)))
    single = (
        [Estimate.missing(len(given))] * 2
        if readings is None
        else [_single(reading, limits, inference) for reading in readings.both]
    )
    return VoteSweep(
        reading=("base", "post"),
        budget=limits,
        accuracy=Estimate.stack(
            joint_estimate(each, inference=inference, proportion=True) for each in by_problem
        ),
        difference=joint_estimate(by_problem[1] - by_problem[0], inference=inference).within(
            -1.0, 1.0
        ),
        single=Estimate.stack(single),
        n_votes=torch.stack(n_votes),
        exhausted=torch.stack(exhausted),
        mean_tokens=torch.stack([size.double().mean() for size in sizes]),
        n_samples=n_samples,
        n_orders=len(orders),
        level=inference.level,
    )


def _sizes(texts: Rollouts, shape: torch.Size) -> Int[Tensor, "problem sample"]:
    out = torch.zeros(shape, dtype=torch.long)
    out[texts.place, texts.sample] = texts.n_tokens
    return out


def _budgets(sizes: Sequence[Int[Tensor, "problem sample"]]) -> list[int]:
    """The shorter mean length, doubled up to the mean total of the model with fewer tokens."""
    least = min(float(size.double().mean()) for size in sizes)
    most = min(float(size.sum(dim=1).double().mean()) for size in sizes)
    found = [round(least * 2**i) for i in range(64) if least * 2**i < most * 0.99]
    return sorted({max(1, each) for each in [*found, round(most)]})


def _orders(n_samples: int, n_orders: int, seed: int) -> list[Int[Tensor, " sample"]]:
    """All orders of the samples, or as many drawn ones."""
    if n_samples <= 12 and factorial(n_samples) <= n_orders:
        return [torch.tensor(order) for order in permutations(range(n_samples))]
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(n_samples, generator=generator) for _ in range(n_orders)]


def _spent(
    size: Int[Tensor, "problem sample"], order: Int[Tensor, " sample"]
) -> Int[Tensor, "problem sample"]:
    """Tokens that were spent when each sample has ended, if they are drawn in an order."""
    out = torch.zeros_like(size)
    out[:, order] = size[:, order].cumsum(dim=1)
    return out


def _single(reading: Reading, limits: Int[Tensor, " budget"], inference: Inference) -> Estimate:
    """Right answers after so many tokens of one thought."""
    rows = []
    for curve in reading.curves():
        last = (curve.at[:, None] <= limits).sum(dim=0) - 1
        rows.append((curve.answer[last] == curve.gold).double())
    return joint_estimate(torch.stack(rows), inference=inference, proportion=True)
