"""Confidence of traces, votes and early stopping against plain loops and planted errors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elicit.stats import Inference, measure_discrimination
from elicit.traces import (
    Ballots,
    TraceError,
    bottom_groups,
    filtered_vote,
    group_confidence,
    lowest_group,
    span_confidence,
    stop_early,
    tail_confidence,
    trace_confidence,
    vote,
)

HOW = Inference(n_resamples=200, seed=2)


def flat(traces: list[list[float]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of all traces in one array, and where each begins."""
    borders = np.cumsum([0, *map(len, traces)])
    return torch.tensor(np.concatenate(traces)), torch.tensor(borders)


ragged = st.lists(st.lists(st.floats(0.125, 20), min_size=1, max_size=14), min_size=1, max_size=5)


@given(ragged, st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_every_reduction_is_that_of_a_plain_loop(traces, window, n_tail):
    found = trace_confidence(*flat(traces), window=window, n_tail=n_tail)
    for at, trace in enumerate(traces):
        wide = min(window, len(trace))
        groups = sorted(np.mean(trace[i : i + wide]) for i in range(len(trace) - wide + 1))
        expected = {
            "mean": np.mean(trace),
            "tail": np.mean(trace[-n_tail:]),
            "lowest_group": groups[0],
            "bottom_groups": np.mean(groups[: max(1, len(groups) // 10)]),
            "minus_length": -len(trace),
        }
        for name, value in expected.items():
            assert float(found.of(name)[at]) == pytest.approx(value), name


def test_a_fraction_of_a_window_is_left_out_and_of_a_trace_is_kept():
    groups = group_confidence(*flat([[float(i) for i in range(17)]]), window=1)
    assert float(bottom_groups(groups)) == 0 and float(bottom_groups(groups, share=0.2)) == 1
    assert float(bottom_groups(groups, share=1.0)) == 8
    # Half of three traces are two, so that a right and a wrong answer tie.
    cast = ballots(([1, 2, 3], 1))
    kept = filtered_vote(cast, torch.tensor([3.0, 2.0, 1.0]), keep=0.5, inference=HOW)
    assert kept.by_problem[:, 2].tolist() == [0.5]


def test_windows_never_reach_into_the_next_trace():
    one, other = [5.0] * 6, [1.0] * 4
    alone = group_confidence(*flat([one]), window=3)
    beside = group_confidence(*flat([one, other, one]), window=3)
    assert beside.offsets.tolist() == [0, 4, 6, 10]
    assert beside.values.tolist() == [5.0] * 4 + [1.0] * 2 + [5.0] * 4
    assert torch.equal(alone.values, beside.values[:4])


def test_a_planted_dip_is_found_by_the_lowest_group_and_hidden_in_the_mean():
    rng = np.random.default_rng(0)
    right = [list(rng.normal(5, 0.3, 80)) for _ in range(30)]
    wrong = [list(rng.normal(5, 0.3, 80)) for _ in range(30)]
    for trace in wrong:
        at = int(rng.integers(10, 60))
        trace[at : at + 4] = [2.0] * 4
        # What is lost there is won elsewhere.
        trace[70:] = list(np.array(trace[70:]) + 1.2)
    found = trace_confidence(*flat(right + wrong), window=4, n_tail=8)
    correct = torch.arange(60) < 30
    areas = measure_discrimination(
        {name: found.of(name) for name in found.score}, correct, torch.arange(60), inference=HOW
    ).auroc
    by_name = dict(zip(found.score, areas.value.tolist(), strict=True))
    assert by_name["lowest_group"] == 1.0 and abs(by_name["mean"] - 0.5) < 0.2
    assert by_name["tail"] < 0.1 and by_name["minus_length"] == 0.5


def test_the_answer_s_stretch_is_read_within_its_own_trace():
    values, offsets = flat([[1.0, 2.0, 3.0], [10.0, 20.0]])
    start, end = torch.tensor([1, 1]), torch.tensor([3, 1])
    found = span_confidence(values, offsets, start, end)
    assert float(found[0]) == 2.5 and bool(found[1].isnan())
    with pytest.raises(TraceError, match="trace 1 is 1 to 3 and the trace has 2"):
        span_confidence(values, offsets, start, torch.tensor([3, 3]))


def test_tokens_that_belong_to_no_trace_are_refused():
    values, offsets = flat([[1.0, 2.0], [3.0]])
    for wrong in ([0, 2], [0, 2, 2, 3], [1, 3], [0, 4]):
        with pytest.raises(TraceError, match="cannot be assigned to their traces"):
            tail_confidence(values, torch.tensor(wrong), n=1)
    with pytest.raises(TraceError, match="the first at 1"):
        tail_confidence(torch.tensor([1.0, torch.nan, 2.0]), offsets, n=1)
    with pytest.raises(TraceError, match="window is 0"):
        group_confidence(values, offsets, window=0)
    with pytest.raises(TraceError, match="share is 0"):
        bottom_groups(group_confidence(values, offsets, window=1), share=0.0)
    with pytest.raises(TraceError, match="no score"):
        trace_confidence(values, offsets, window=1, n_tail=1).of("top")


def ballots(*problems: tuple[list[int], int]) -> Ballots:
    """Answers and the right one of each problem."""
    return Ballots(
        answer=torch.tensor([a for answers, _ in problems for a in answers]),
        problem=torch.tensor([i for i, (each, _) in enumerate(problems) for _ in each]),
        right=torch.tensor([right for _, right in problems]),
    )


def test_the_answer_with_the_most_weight_wins_and_ties_count_in_equal_parts():
    cast = ballots(([1, 1, 2], 1), ([1, 2, 3], 2), ([-1, -1, 4], 4), ([-1, -1], 0))
    assert vote(cast).tolist() == pytest.approx([1, 1 / 3, 1, 0])
    weight = torch.tensor([0.1, 0.1, 0.3, 1, 1, 0, 5, 5, 0.1, 1, 1])
    assert vote(cast, weight).tolist() == pytest.approx([0, 0.5, 1, 0])
    none = vote(cast, kept=torch.zeros(11, dtype=torch.bool))
    assert none.tolist() == [0, 0, 0, 0]
    with pytest.raises(TraceError, match="speak against"):
        vote(cast, -weight)


def test_ties_survive_the_rounding_of_weights():
    cast = ballots(([0] * 3 + [1] * 6, 0))
    weight = torch.tensor([0.2] * 3 + [0.1] * 6, dtype=torch.float64)
    assert vote(cast, weight).tolist() == [0.5]


def test_a_filter_on_what_tells_right_from_wrong_wins_and_a_random_one_does_not():
    rng = np.random.default_rng(0)
    right = rng.uniform(size=(60, 20)) < 0.3
    answers = np.where(right, 0, rng.integers(1, 3, (60, 20)))
    cast = ballots(*[(list(map(int, row)), 0) for row in answers])
    score = torch.tensor(right.ravel() + rng.normal(0, 0.3, 1200))
    found = filtered_vote(cast, score, keep=0.2, inference=HOW)
    gains = dict(zip(found.rule, found.gain.value.tolist(), strict=True))
    assert gains["all"] == 0 and gains["weighted"] == 0
    assert float(found.gain.low[2]) > 0.3 and gains["random"] < 0.1
    everything = filtered_vote(cast, score, keep=1.0, inference=HOW)
    assert torch.equal(everything.by_problem, everything.by_problem[:, :1].expand(-1, 4))


def test_as_many_are_kept_of_every_problem_and_equal_scores_in_their_order():
    cast = ballots(([5, 6, 6, 6], 5), ([7, 8, 8], 7))
    found = filtered_vote(cast, torch.zeros(7), keep=0.25, inference=HOW)
    assert found.by_problem[:, 2].tolist() == [1, 1] and found.by_problem[:, 0].tolist() == [0, 0]
    with pytest.raises(TraceError, match="keep is 0"):
        filtered_vote(cast, torch.zeros(7), keep=0.0)
    with pytest.raises(TraceError, match="1 traces are NaN"):
        filtered_vote(cast, torch.tensor([torch.nan] + [0.0] * 6))


def test_votes_that_cannot_be_graded_are_refused():
    with pytest.raises(TraceError, match="Number the problems"):
        Ballots(
            answer=torch.tensor([1, 1]), problem=torch.tensor([0, 2]), right=torch.tensor([1, 1])
        )
    with pytest.raises(TraceError, match="no right answer"):
        ballots(([1], -1))


def by_hand(traces, answers, problems, right, *, window, warm_up, top):
    """The rule, told as a loop over problems and tokens."""
    written, credit = [0] * len(traces), []
    for problem, truth in enumerate(right):
        own = [i for i, each in enumerate(problems) if each == problem]

        def lowest(trace):
            wide = min(window, len(trace))
            return min(np.mean(trace[i : i + wide]) for i in range(len(trace) - wide + 1))

        bar = np.percentile([lowest(traces[i]) for i in own[:warm_up]], 100 * (1 - top))
        weights: dict[int, float] = {}
        for turn, i in enumerate(own):
            seen: list[float] = []
            for token in traces[i]:
                seen.append(token)
                full = len(seen) >= window
                if turn >= warm_up and full and np.mean(seen[-window:]) < bar:
                    break
            written[i] = len(seen)
            if lowest(traces[i]) >= bar and answers[i] >= 0:
                weights[answers[i]] = weights.get(answers[i], 0) + lowest(traces[i])
        best = max(weights.values(), default=0)
        winners = [a for a, weight in weights.items() if weight >= best - 1e-9]
        credit.append(float(truth in winners) / max(len(winners), 1))
    return written, credit


@pytest.mark.parametrize("seed", range(6))
def test_early_stopping_is_the_rule_told_as_a_loop(seed):
    rng = np.random.default_rng(seed)
    problems = [int(p) for p in rng.permutation(np.repeat(np.arange(5), 9))]
    traces = [list(rng.uniform(1, 9, rng.integers(2, 20))) for _ in problems]
    answers = [int(a) for a in rng.integers(-1, 3, len(problems))]
    right = [0, 1, 2, 0, 1]
    settings_ = {"window": 4, "warm_up": 4, "top": 0.5}
    cast = Ballots(
        answer=torch.tensor(answers), problem=torch.tensor(problems), right=torch.tensor(right)
    )
    found = stop_early(cast, *flat(traces), inference=HOW, **settings_)
    written, credit = by_hand(traces, answers, problems, right, **settings_)
    assert found.written.tolist() == written
    assert found.by_problem[:, 0].tolist() == pytest.approx(credit)
    total = sum(map(len, traces))
    assert float(found.saved.value) == pytest.approx(1 - sum(written) / total)
    torch.testing.assert_close(found.by_problem[:, 1], vote(cast))


def test_traces_that_dip_are_given_up_at_the_dip_and_do_not_vote():
    sure, unsure = [5.0] * 20, [5.0] * 6 + [1.0] * 4 + [5.0] * 10
    # Six good traces to warm up, then wrong ones that dip outnumber the right ones.
    traces = ([sure] * 6 + [unsure] * 8) * 3
    cast = ballots(*[([1] * 6 + [2] * 8, 1)] * 3)
    found = stop_early(cast, *flat(traces), window=4, warm_up=6, top=0.1, inference=HOW)
    assert found.written.tolist() == ([20] * 6 + [7] * 8) * 3
    assert found.accuracy.value.tolist()[:2] == [1, 0]
    assert float(found.saved.value) == pytest.approx(8 * 13 / (14 * 20))
    assert found.votes.sum() == 18
    # The same tokens pay for 8 whole traces: six right ones and two wrong.
    assert found.by_problem[:, 2].tolist() == [1, 1, 1]


def test_a_trace_shorter_than_the_window_is_never_cut_and_votes_by_its_mean():
    values, offsets = flat([[5.0] * 6, [5.0] * 6, [1.0] * 3, [6.0] * 3])
    cast = ballots(([1, 1, 2, 3], 1))
    found = stop_early(cast, values, offsets, window=4, warm_up=2, inference=HOW)
    assert found.written.tolist() == [6, 6, 3, 3] and found.votes.tolist() == [True] * 2 + [
        False,
        True,
    ]
    assert float(found.saved.value) == 0
    assert lowest_group(group_confidence(values, offsets, window=4)).tolist() == [5, 5, 1, 6]


def test_what_cannot_be_stopped_early_is_refused():
    values, offsets = flat([[5.0] * 6] * 3)
    cast = ballots(([1, 1, 1], 1))
    for wrong in ({"warm_up": 3}, {"warm_up": 0}, {"warm_up": 1, "top": 1.0}):
        with pytest.raises(TraceError, match="nothing to give up"):
            stop_early(cast, values, offsets, window=2, **wrong)
    with pytest.raises(TraceError, match="votes are weighed"):
        stop_early(cast, -values, offsets, window=2, warm_up=1)
