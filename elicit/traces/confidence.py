"""Confidence of whole traces from that of their tokens: means, tails, and the weakest stretch.

Traces have many lengths, so their tokens lie in one flat array, and `offsets` says where each trace
begins: the tokens of trace i are `values[offsets[i]:offsets[i + 1]]`. Any number a token does; in
the paper it is peakedness, minus the mean log probability of the 20 most likely tokens. It depends
on vocabulary, temperature and training: thresholds are never shared between models.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from elicit.results import Result
from elicit.traces.errors import TraceError

LOWEST = 0.1
"""Share of groups that `bottom_groups` averages."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TraceConfidence(Result):
    """Confidence of each trace, reduced in several ways, with its length beside."""

    score: tuple[str, ...]
    """`mean` of all tokens; `tail`, mean of the last; `lowest_group`, least mean of a window;
    `bottom_groups`, mean of the lowest tenth of windows; `minus_length`, which needs no
    confidence and often ranks as well."""
    value: Float[Tensor, "score trace"]
    """Score of each trace, in the unit of the tokens; `minus_length` in tokens."""
    window: int
    """Tokens of a window. A trace that is shorter is one window."""
    n_tail: int
    """Tokens of the tail. A trace that is shorter is all tail."""

    def of(self, score: str) -> Float[Tensor, " trace"]:
        """One score of every trace.

        Raises:
            TraceError: The score is unknown.
        """
        if score not in self.score:
            raise TraceError(
                f"{score!r} is no score of these traces. Pass one of {', '.join(self.score)}."
            )
        return self.value[self.score.index(score)]


@dataclass(frozen=True, eq=False)
class Groups:
    """Mean of every window of tokens, of all traces in one flat array."""

    values: Float[Tensor, " group"]
    """Mean of each window, in the order of its last token."""
    offsets: Int[Tensor, " border"]
    """Where each trace's windows begin, and the end of the last."""


def trace_confidence(
    values: Float[Tensor, " token"],
    offsets: Int[Tensor, " border"],
    *,
    window: int,
    n_tail: int,
) -> TraceConfidence:
    """Confidence of each trace, reduced in several ways, with its length beside.

    Args:
        values: Confidence of each token, any unit.
        offsets: Where each trace begins, from 0, and the end of the last.
        window: Tokens of a window, at least 1. The paper's 2048 suits its traces; about a tenth of
            the usual length suits shorter ones.
        n_tail: Last tokens that are averaged, at least 1.

    Raises:
        TraceError: A trace has no tokens, offsets do not fit, a value is NaN, or an option is out
            of range.

    Source: Fu et al. 2025, arXiv:2508.15260.
    """
    size = checked_sizes(values, offsets)
    groups = group_confidence(values, offsets, window=window)
    scores = {
        "mean": group_means(values, offsets[:-1], offsets[1:]),
        "tail": tail_confidence(values, offsets, n=n_tail),
        "lowest_group": lowest_group(groups),
        "bottom_groups": bottom_groups(groups),
        "minus_length": -size.double(),
    }
    return TraceConfidence(
        score=tuple(scores),
        value=torch.stack(list(scores.values())),
        window=window,
        n_tail=n_tail,
    )


def span_confidence(
    values: Float[Tensor, " token"],
    offsets: Int[Tensor, " border"],
    start: Int[Tensor, " trace"],
    end: Int[Tensor, " trace"],
) -> Float[Tensor, " trace"]:
    """Mean confidence of one stretch of each trace, such as the tokens of its answer.

    It sees the last inference alone: an answer that follows surely from a wrong step is confident.

    Args:
        values: Confidence of each token.
        offsets: Where each trace begins, and the end of the last.
        start: First token of the stretch, counted within the trace.
        end: Token after its last; equal to `start` where a trace has no such stretch.

    Returns:
        NaN where the stretch is empty: a trace without an answer has no confidence in one.

    Raises:
        TraceError: A stretch lies outside its trace, or as for `trace_confidence`.
    """
    size = checked_sizes(values, offsets)
    if not len(start) == len(end) == len(size):
        raise TraceError(
            f"there are {len(start)} starts and {len(end)} ends for {len(size)} traces, so "
            "stretches cannot be assigned to their traces. Pass one of each for every trace."
        )
    outside = ((start < 0) | (end < start) | (end > size)).nonzero()[:, 0]
    if len(outside):
        at = int(outside[0])
        raise TraceError(
            f"the stretch of trace {at} is {int(start[at])} to {int(end[at])} and the trace has "
            f"{int(size[at])} tokens, so other traces' tokens would be read. Count tokens within "
            "each trace, from 0."
        )
    return group_means(values, offsets[:-1] + start, offsets[:-1] + end)


def tail_confidence(
    values: Float[Tensor, " token"], offsets: Int[Tensor, " border"], *, n: int
) -> Float[Tensor, " trace"]:
    """Mean confidence of each trace's last n tokens, of all where there are fewer.

    Raises:
        TraceError: `n` is below 1, or as for `trace_confidence`.
    """
    size = checked_sizes(values, offsets)
    _at_least_one(n, "the number of last tokens")
    return group_means(values, offsets[1:] - size.clamp(max=n), offsets[1:])


def group_confidence(
    values: Float[Tensor, " token"], offsets: Int[Tensor, " border"], *, window: int
) -> Groups:
    """Mean confidence of every full window of tokens; a trace shorter than that is one window.

    Raises:
        TraceError: `window` is below 1, or as for `trace_confidence`.
    """
    size = checked_sizes(values, offsets)
    _at_least_one(window, "window")
    wide = size.clamp(max=window)
    n_groups = size - wide + 1
    borders = torch.cat([n_groups.new_zeros(1), n_groups.cumsum(0)])
    trace = torch.arange(len(size)).repeat_interleave(n_groups)
    start = torch.arange(int(borders[-1])) - borders[trace] + offsets[trace]
    return Groups(values=group_means(values, start, start + wide[trace]), offsets=borders)


def lowest_group(groups: Groups) -> Float[Tensor, " trace"]:
    """Least mean of a window in each trace: its weakest stretch."""
    return torch.segment_reduce(groups.values, "min", offsets=groups.offsets)


def bottom_groups(groups: Groups, *, share: float = LOWEST) -> Float[Tensor, " trace"]:
    """Mean of the lowest windows of each trace, at least one.

    Args:
        groups: Mean of every window.
        share: Share of the windows that are averaged, in (0, 1]; a fraction of a window is left
            out.

    Raises:
        TraceError: `share` is out of range.
    """
    if not 0 < share <= 1:
        raise TraceError(
            f"share is {share}, but it is the share of windows that are averaged. Pass a number "
            "above 0 and at most 1."
        )
    size = groups.offsets.diff()
    trace = torch.arange(len(size)).repeat_interleave(size)
    order = groups.values.argsort(stable=True)
    order = order[trace[order].argsort(stable=True)]
    n_lowest = (size * share + 1e-9).long().clamp(min=1)
    first = groups.offsets[:-1]
    return group_means(groups.values[order], first, first + n_lowest)


def group_means(
    values: Float[Tensor, " token"], start: Int[Tensor, " group"], end: Int[Tensor, " group"]
) -> Float[Tensor, " group"]:
    """Mean of each stretch of a flat array, in float64; NaN of an empty one."""
    upto = torch.cat([torch.zeros(1, dtype=torch.float64), values.double().cumsum(0)])
    return (upto[end] - upto[start]) / (end - start)


def checked_sizes(
    values: Float[Tensor, " token"], offsets: Int[Tensor, " border"]
) -> Int[Tensor, " trace"]:
    """Tokens of each trace.

    Raises:
        TraceError: A trace has no tokens, offsets do not fit, or a value is NaN or infinite.
    """
    size = offsets.diff()
    fits = len(offsets) > 1 and int(offsets[0]) == 0 and int(offsets[-1]) == len(values)
    if not fits or int(size.min()) < 1:
        ends = offsets[[0, -1]].tolist() if len(offsets) else []
        raise TraceError(
            f"offsets has {len(offsets)} borders that run over {ends}, the shortest trace with "
            f"{int(size.min()) if len(size) else 0} tokens, and there are {len(values)} tokens, so "
            "tokens cannot be assigned to their traces. Begin at 0, end at the number of tokens, "
            "and "
            "leave out traces without any."
        )
    bad = (~values.isfinite()).nonzero()[:, 0]
    if len(bad):
        raise TraceError(
            f"the confidence of {len(bad)} tokens is NaN or infinite, the first at {int(bad[0])}, "
            "so every window over one has no mean. Find out why, or leave those traces out."
        )
    return size


def _at_least_one(number: int, name: str) -> None:
    if number < 1:
        raise TraceError(f"{name} is {number}, so nothing would be averaged. Pass 1 or more.")
