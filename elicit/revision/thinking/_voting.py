"""Majority votes: voters, elected answers, ranks and ties."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.rollouts import stream_key
from elicit.tasks import same_answer


def numbered(
    answers: Sequence[str | None], candidates: Collection[str] | None = None
) -> Int[Tensor, " sample"]:
    """Number of each answer among the different ones to its problem; -1 where there is none.

    Args:
        answers: As they were found in the samples.
        candidates: Answers that the problem gives, each of which is only itself.
    """
    given = frozenset(candidates or ())
    seen: list[str] = []

    def number(answer: str) -> int:
        for place, other in enumerate(seen):
            both = answer in given and other in given
            if answer == other if both else same_answer(answer, other):
                return place
        seen.append(answer)
        return len(seen) - 1

    return torch.tensor([-1 if answer is None else number(answer) for answer in answers])


def counted(
    answer: Int[Tensor, " sample"], voters: Bool[Tensor, "draw sample"]
) -> Int[Tensor, "draw answer"]:
    """Votes for each answer; samples without an answer do not vote.

    `answer`: number of each sample's answer, -1 where there is none.
    """
    n_answers = int(answer.max()) + 1
    ballots = answer[:, None] == torch.arange(n_answers)
    return (voters.double() @ ballots.double()).long()


def elected(
    answer: Int[Tensor, " sample"],
    correct: Bool[Tensor, " sample"],
    voters: Bool[Tensor, "draw sample"],
) -> Float[Tensor, " draw"]:
    """Probability that a majority vote is right, with tied answers equally likely.

    `answer`: number of each sample's answer, -1 where there is none.

    Returns:
        In [0, 1]; 0 where no voter has an answer.
    """
    votes = counted(answer, voters)
    if not votes.shape[1]:
        return torch.zeros(len(voters), dtype=torch.float64)
    right = torch.zeros(votes.shape[1], dtype=torch.bool)
    right[answer[correct & (answer >= 0)]] = True
    most = votes.amax(1, keepdim=True)
    first = (votes == most) & (most > 0)
    return (first & right).sum(1).double() / first.sum(1).clamp(min=1)


def tie_breaks(seed: int, problem: str, *, n: int, n_draws: int) -> Float[Tensor, "draw sample"]:
    """Random tie breaks for the samples of a problem, in [0, 1); more draws extend fewer.

    `problem`: its id; nothing else about the task changes what is drawn. `n_draws`: random orders.
    """
    # A key of its own: the stream of the samples' tokens must not decide which of them are kept.
    rng = np.random.Generator(np.random.Philox(key=stream_key(seed, f"order of {problem}", -1)))
    return torch.from_numpy(rng.random((n_draws, n)))


def ranks(
    score: Float[Tensor, " sample"], breaks: Float[Tensor, "draw sample"]
) -> Int[Tensor, "draw sample"]:
    """Rank of each sample by its score, 0 the highest; one without a score comes last.

    `score`: of each sample; NaN where it has none. `breaks`: decide between equal scores, in each
    draw; the lower comes first.
    """
    # A tie break is less than 1, so it cannot make up for a lower score.
    order = (_levels(score) + breaks).argsort(1)
    return torch.empty_like(order).scatter_(1, order, torch.arange(len(score)).expand_as(order))


def tied_share(score: Float[Tensor, " sample"], n_kept: int) -> float:
    """Share of the samples kept or rejected at random: both sides have their score.

    `score`: of each sample; NaN where it has none.
    """
    levels = _levels(score)
    last, beyond = levels.sort().values[n_kept - 1 : n_kept + 1]
    return float((levels == last).double().mean()) if bool(last == beyond) else 0.0


def _levels(score: Float[Tensor, " sample"]) -> Int[Tensor, " sample"]:
    """Number of each score among the different ones, 0 the highest."""
    return torch.where(score.isnan(), -torch.inf, score).neg().unique(return_inverse=True)[1]
