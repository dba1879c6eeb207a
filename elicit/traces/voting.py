"""Votes over several traces of a problem: all, the most confident, or as many at random."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats import Inference, joint_estimate
from elicit.traces.errors import TraceError

RULES = ("all", "weighted", "kept", "random")
_TIE = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class Ballots:
    """Answers of several traces a problem, in the order in which they were sampled.

    Raises:
        TraceError: The columns do not fit together.
    """

    answer: Int[Tensor, " trace"]
    """Number of each trace's answer, the same for the same answer; negative where it has none,
    which never wins."""
    problem: Int[Tensor, " trace"]
    """Number of its problem, from 0 on; every problem has a trace."""
    right: Int[Tensor, " problem"]
    """Number of each problem's right answer, at least 0."""

    def __post_init__(self) -> None:
        """Refuse problems without a trace, and traces without a problem."""
        present = self.problem.unique().tolist()
        if len(self.answer) != len(self.problem) or present != list(range(len(self.right))):
            raise TraceError(
                f"there are {len(self.answer)} answers to {len(present)} problems and "
                f"{len(self.right)} right answers, so votes cannot be graded. Number the problems "
                "from 0 on, give each a right answer, and leave out those without traces."
            )
        if len(self.right) == 0 or int(self.right.min()) < 0:
            raise TraceError(
                "a problem has no right answer, so no vote on it can be graded. Pass the number "
                "of each, 0 or more, for at least one problem."
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class FilteredVote(Result):
    """Accuracy of votes over all traces and over the most confident."""

    rule: tuple[str, ...]
    """`all`: each trace has one vote. `weighted`: all, by weight. `kept`: those with the highest
    scores, by weight. `random`: as many drawn at random, by weight, the control of `kept`."""
    accuracy: Annotated[Estimate, "rule"]
    """Share of problems whose vote is right, a tie counting in equal parts, with intervals
    simultaneous over rules."""
    gain: Annotated[Estimate, "rule"]
    """The same less that of `all`, with intervals simultaneous over rules."""
    by_problem: Float[Tensor, "problem rule"]
    """Chance that the vote of each problem is right."""
    keep: float
    """Share of each problem's traces that are kept, rounded up."""
    n_draws: int
    """Draws of the control."""
    level: float
    """Nominal coverage of the intervals."""


def vote(
    ballots: Ballots,
    weight: Float[Tensor, " trace"] | None = None,
    *,
    kept: Bool[Tensor, " trace"] | None = None,
) -> Float[Tensor, " problem"]:
    """Chance that the answer with the most weight is right; equal answers win equally often.

    Args:
        ballots: Answers of the traces.
        weight: Weight of each, at least 0; None: 1.
        kept: Traces that vote; None: all. A problem of which none votes is not right.

    Raises:
        TraceError: A weight is negative or NaN, or there are not as many as traces.
    """
    weights = torch.ones(len(ballots.answer)) if weight is None else weight
    if len(weights) != len(ballots.answer):
        raise TraceError(
            f"there are {len(weights)} weights for {len(ballots.answer)} answers, so votes cannot "
            "be weighed. Pass one for each trace."
        )
    if not bool((weights >= 0).all()):
        raise TraceError(
            f"a weight is {float(weights.min())}, but votes are added up, and one below 0 would "
            "speak against its own answer. Pass weights of 0 or more."
        )
    voting = ballots.answer >= 0
    voting = voting if kept is None else voting & kept
    pairs = torch.stack([ballots.problem[voting], ballots.answer[voting]], dim=1)
    cells, cell = pairs.unique(dim=0, return_inverse=True)
    total = torch.zeros(len(cells), dtype=torch.float64)
    total.index_add_(0, cell, weights[voting].double())
    n = len(ballots.right)
    most = torch.zeros(n, dtype=torch.float64).scatter_reduce(0, cells[:, 0], total, "amax")
    # Weights are added in another order for every answer: a rounding error parts no tie.
    wins = (total >= most[cells[:, 0]] * (1 - _TIE)).double()
    winners = torch.zeros(n, dtype=torch.float64).index_add_(0, cells[:, 0], wins)
    good = wins * (cells[:, 1] == ballots.right[cells[:, 0]])
    right = torch.zeros(n, dtype=torch.float64).index_add_(0, cells[:, 0], good)
    return right / winners.clamp(min=1)


def filtered_vote(
    ballots: Ballots,
    score: Float[Tensor, " trace"],
    *,
    keep: float = 0.1,
    weight: Float[Tensor, " trace"] | None = None,
    n_draws: int = 20,
    inference: Inference = Inference(),
) -> FilteredVote:
    """Accuracy of votes over all traces and over the most confident of each problem.

    Args:
        ballots: Answers of the traces.
        score: Confidence of each trace, any unit: higher is kept. Equal ones are kept in the order
            in which they were sampled.
        keep: Share of each problem's traces that are kept, in (0, 1], rounded up.
        weight: Weight of each vote, at least 0; None: 1.
        n_draws: Random choices of as many traces, at least 1: the control.
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        TraceError: A score is NaN, a weight is negative, or an option is out of range.

    Source: Fu et al. 2025, arXiv:2508.15260, offline: the paper keeps the top 10 or 90 % and weighs
        votes by the score itself.
    """
    if not 0 < keep <= 1 or n_draws < 1:
        raise TraceError(
            f"keep is {keep} and n_draws {n_draws}, but a share of the traces is kept, and as many "
            "are drawn at random beside. Pass keep in (0, 1] and n_draws of 1 or more."
        )
    if len(score) != len(ballots.answer) or bool(score.isnan().any()):
        raise TraceError(
            f"there are {len(score)} scores for {len(ballots.answer)} answers, and those of "
            f"{int(score.isnan().sum())} traces are NaN, so they cannot be ranked. Pass one number "
            "for each trace, and leave traces without a score out of the ballots too."
        )
    generator = torch.Generator().manual_seed(inference.seed)
    drawn = [
        vote(ballots, weight, kept=_top(ballots.problem, chance, keep))
        for chance in torch.rand(n_draws, len(score), generator=generator, dtype=torch.float64)
    ]
    by_problem = torch.stack(
        [
            vote(ballots),
            vote(ballots, weight),
            vote(ballots, weight, kept=_top(ballots.problem, score, keep)),
            torch.stack(drawn).mean(dim=0),
        ],
        dim=1,
    )
    return FilteredVote(
        rule=RULES,
        accuracy=joint_estimate(by_problem, inference=inference, proportion=True),
        gain=joint_estimate(by_problem - by_problem[:, :1], inference=inference).within(-1.0, 1.0),
        by_problem=by_problem,
        keep=keep,
        n_draws=n_draws,
        level=inference.level,
    )


def _top(
    problem: Int[Tensor, " trace"], score: Float[Tensor, " trace"], keep: float
) -> Bool[Tensor, " trace"]:
    """Whether each trace is among the share of its problem's with the highest scores."""
    order = score.argsort(descending=True, stable=True)
    order = order[problem[order].argsort(stable=True)]
    size = torch.bincount(problem)
    rank = torch.arange(len(order)) - (size.cumsum(0) - size)[problem[order]]
    most = torch.ceil(size.double() * keep - 1e-9).long().clamp(min=1)
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[order] = rank < most[problem[order]]
    return kept
