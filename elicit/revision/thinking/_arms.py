"""Think@n and its controls on the same samples, each charged the tokens it would generate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.revision.thinking._voting import elected, ranks, tie_breaks, tied_share


@dataclass(frozen=True, eq=False, kw_only=True)
class Samples:
    """All samples of all problems, all finished."""

    answer: Int[Tensor, "problem sample"]
    """Number of its answer among those to its problem, -1 where none was found."""
    correct: Bool[Tensor, "problem sample"]
    """Whether the answer is right."""
    n_tokens: Int[Tensor, "problem sample"]
    """Tokens of the whole text."""
    n_begun: Int[Tensor, "problem sample"]
    """Tokens of it within the prefix."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Arms:
    """Accuracy and token cost of each arm, by problem."""

    arm: tuple[str, ...]
    """Arms: ways to vote."""
    right: Float[Tensor, "arm problem"]
    """Probability that the vote is right."""
    tokens: Float[Tensor, "arm problem"]
    """Tokens generated for the vote."""
    tied: Float[Tensor, "arm problem"]
    """Share of samples kept or rejected at random, because their scores were equal; NaN where no
    score decides."""
    kept: Bool[Tensor, "problem sample"]
    """Samples that the first score keeps, in the first random order."""


CONTROLS = ("cons", "random", "matched", "short")
"""Arms that use no score of the prefix."""


def run_arms(
    samples: Samples,
    scores: Mapping[str, Float[Tensor, "problem sample"]],
    *,
    problem: Sequence[str],
    n_kept: int,
    n_draws: int,
    seed: int,
) -> Arms:
    """Every arm on the same samples.

    Each score keeps its highest samples, equal ones at random; the others are charged up to the end
    of their prefix. The controls vote alike: `cons` with all samples; `random` with as many random
    ones, whose others are never begun; `matched` with as many random ones as cost, on average, what
    the first score's vote costs (at least one); `short` with the shortest, for which all have to be
    written. A score that is the same for all is `random`.

    `scores`: by name; the higher is kept. `n_draws`: random orders; every number is the mean over
    them.
    """
    names, first = (*scores, *CONTROLS), next(iter(scores))
    n_problems, n = samples.answer.shape
    right, tokens, tied = torch.full(
        (3, len(names), n_problems), torch.nan, dtype=torch.float64
    ).unbind()
    kept = torch.empty(n_problems, n, dtype=torch.bool)
    for i, name in enumerate(problem):
        breaks = tie_breaks(seed, name, n=n, n_draws=n_draws)
        order = ranks(torch.zeros(n), breaks)
        length, begun = samples.n_tokens[i], samples.n_begun[i]
        voters = {"cons": torch.ones(1, n, dtype=torch.bool), "random": order < n_kept}
        price = {"cons": length.sum()[None], "random": (voters["random"] * length).sum(1)}
        for score, values in {**scores, "short": -samples.n_tokens.double()}.items():
            voters[score] = ranks(values[i], breaks) < n_kept
            price[score] = torch.where(voters[score], length, begun).sum(1)
            tied[names.index(score), i] = tied_share(values[i], n_kept)
        kept[i], price["short"] = voters[first][0], price["cons"]
        voters["matched"], price["matched"] = _matched(
            order, length, float(price[first].double().mean())
        )
        for row, arm in enumerate(names):
            right[row, i] = elected(samples.answer[i], samples.correct[i], voters[arm]).mean()
            tokens[row, i] = price[arm].double().mean()
    return Arms(arm=names, right=right, tokens=tokens, tied=tied, kept=kept)


def _matched(
    order: Int[Tensor, "draw sample"], length: Int[Tensor, " sample"], budget: float
) -> tuple[Bool[Tensor, "draw sample"], Int[Tensor, " draw"]]:
    """In each order the first samples, as many as a budget pays for on average, and their tokens.

    How many must not depend on which come first: taken while they fit, long texts would be left out
    more often than short ones, and length goes with being right.
    """
    n_draws, n = order.shape
    m = min(max(budget / float(length.double().mean()), 1.0), float(n))
    # Of the draws, the share that is left of a sample takes one more.
    more = (torch.arange(n_draws) + 0.5) / n_draws < m - int(m)
    voters = order < (int(m) + more.long())[:, None]
    return voters, (voters * length).sum(1)
