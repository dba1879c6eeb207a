"""Traces given up once their confidence falls: what it would have saved on recorded ones."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from elicit.results import Estimate, Result
from elicit.stats import Inference, joint_estimate, linearised_ratio
from elicit.traces.confidence import checked_sizes, group_confidence, lowest_group
from elicit.traces.errors import TraceError
from elicit.traces.voting import Ballots, vote

RULES = ("stopped", "all", "equal_tokens")


@dataclass(frozen=True, eq=False, kw_only=True)
class EarlyStopping(Result):
    """What giving up unsure traces would have saved, and what it does to the vote."""

    rule: tuple[str, ...]
    """`stopped`: votes of the traces that were not given up, by their lowest group. `all`: one vote
    each, all traces written to their end. `equal_tokens`: one vote each, as many whole traces as
    the tokens of `stopped` pay for, in the order in which they were sampled."""
    accuracy: Annotated[Estimate, "rule"]
    """Share of problems whose vote is right, with intervals simultaneous over rules."""
    gain: Annotated[Estimate, "rule"]
    """Accuracy of `stopped` less that of each rule, with intervals simultaneous over rules."""
    saved: Annotated[Estimate, ""]
    """Share of all tokens that are not written."""
    by_problem: Float[Tensor, "problem rule"]
    """Chance that the vote of each problem is right."""
    threshold: Float[Tensor, " problem"]
    """Confidence below which a trace of the problem is given up, from its own warm-up."""
    written: Int[Tensor, " trace"]
    """Tokens of each trace until it is given up, or all."""
    votes: Bool[Tensor, " trace"]
    """Whether each trace votes: no window of it is below the threshold."""
    level: float
    """Nominal coverage of the intervals."""


def stop_early(
    ballots: Ballots,
    values: Float[Tensor, " token"],
    offsets: Int[Tensor, " border"],
    *,
    window: int,
    warm_up: int = 16,
    top: float = 0.1,
    inference: Inference = Inference(),
) -> EarlyStopping:
    """What giving up unsure traces would have saved on traces that were recorded whole.

    The first traces of a problem are written whole. A quantile of their lowest groups is the
    threshold; every later trace is given up at the first full window whose mean is below it. A
    warm-up trace below it is paid for, and does not vote.

    Args:
        ballots: Answers of the traces, in the order in which they were sampled.
        values: Confidence of each token, above 0.
        offsets: Where each trace begins, from 0, and the end of the last.
        window: Tokens of a window, at least 1.
        warm_up: Traces of each problem that are written whole, at least 1 and fewer than it has.
        top: Share of the warm-up traces that lie above the threshold, in (0, 1).
        inference: Coverage and resamples of the intervals, and the seed.

    Raises:
        TraceError: A problem has no trace beyond its warm-up, the traces are not those of the
            ballots, a confidence is not above 0, or an option is out of range.

    Source: Fu et al. 2025, arXiv:2508.15260, online, with the (1 - top) quantile of the warm-up as
        threshold; without the stop once the vote is nearly unanimous.
    """
    size = checked_sizes(values, offsets)
    fewest = int(torch.bincount(ballots.problem).min())
    if len(size) != len(ballots.answer) or not 1 <= warm_up < fewest or not 0 < top < 1:
        raise TraceError(
            f"there are {len(size)} traces for {len(ballots.answer)} answers, at least {fewest} a "
            f"problem, with warm_up {warm_up} and top {top}: without a trace after the warm-up "
            "there is nothing to give up. Pass the same traces, a warm-up of fewer than a problem "
            "has, and top in (0, 1)."
        )
    if not bool((values > 0).all()):
        raise TraceError(
            f"a token's confidence is {float(values.min())}, but votes are weighed by it. Pass "
            "numbers above 0, such as minus the mean log probability of the likeliest tokens."
        )
    groups = group_confidence(values, offsets, window=window)
    lowest = lowest_group(groups)
    turn = _turn(ballots.problem)
    threshold = torch.stack(
        [
            lowest[(ballots.problem == each) & (turn < warm_up)].quantile(1 - top)
            for each in range(len(ballots.right))
        ]
    )
    bar = threshold[ballots.problem]
    votes = lowest >= bar
    late = (turn >= warm_up) & ~votes & (size >= window)
    written = torch.where(late, _first_below(groups.values, groups.offsets, bar) + window, size)
    used = _by_problem(written, ballots)
    by_problem = torch.stack(
        [
            vote(ballots, lowest, kept=votes),
            vote(ballots),
            vote(ballots, kept=_spent(size, ballots.problem) <= used[ballots.problem]),
        ],
        dim=1,
    )
    left = size - written
    told = linearised_ratio(left.double(), size.double(), ballots.problem)
    return EarlyStopping(
        rule=RULES,
        accuracy=joint_estimate(by_problem, inference=inference, proportion=True),
        gain=joint_estimate(by_problem[:, :1] - by_problem, inference=inference).within(-1.0, 1.0),
        saved=joint_estimate(told, inference=inference),
        by_problem=by_problem,
        threshold=threshold,
        written=written,
        votes=votes,
        level=inference.level,
    )


def _turn(problem: Int[Tensor, " trace"]) -> Int[Tensor, " trace"]:
    """How many traces of the same problem came before each."""
    order = problem.argsort(stable=True)
    size = torch.bincount(problem)
    turn = torch.empty_like(problem)
    turn[order] = torch.arange(len(problem)) - (size.cumsum(0) - size)[problem[order]]
    return turn


def _first_below(
    values: Float[Tensor, " group"], offsets: Int[Tensor, " border"], bar: Float[Tensor, " trace"]
) -> Int[Tensor, " trace"]:
    """Number of each trace's first window below its bar; the number of windows where none is."""
    size = offsets.diff()
    trace = torch.arange(len(size)).repeat_interleave(size)
    place = torch.arange(len(values)) - offsets[trace]
    place = torch.where(values < bar[trace], place, size[trace])
    return torch.segment_reduce(place.double(), "min", offsets=offsets).long()


def _by_problem(tokens: Int[Tensor, " trace"], ballots: Ballots) -> Int[Tensor, " problem"]:
    return tokens.new_zeros(len(ballots.right)).index_add_(0, ballots.problem, tokens)


def _spent(size: Int[Tensor, " trace"], problem: Int[Tensor, " trace"]) -> Int[Tensor, " trace"]:
    """Tokens of each trace and of all before it of the same problem."""
    order = problem.argsort(stable=True)
    upto = size[order].cumsum(0)
    total = torch.zeros(int(problem.max()) + 1, dtype=size.dtype).index_add_(0, problem, size)
    spent = torch.empty_like(size)
    spent[order] = upto - (total.cumsum(0) - total)[problem[order]]
    return spent
