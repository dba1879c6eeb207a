"""Where thoughts conclude and what stands after it: planted tails, known answers, laws."""

import json
import math
from dataclasses import replace

import pytest
import torch

from elicit.traces import Readings, conclusion, information, save_pruned
from tests.traces.made import own_readings, task_of


def _value(found, metric: str, reading: int) -> torch.Tensor:
    return found.of(metric)[reading]


@pytest.mark.slow
def test_a_planted_tail_is_counted_to_the_token_and_pruned(organism, tmp_path):
    """`tail` checks its last step 1 + (start mod 4) times, ten words each, and then answers."""
    pair, task = organism("tail"), task_of("tail", 40)
    readings = own_readings(pair, task)
    tail = _value(conclusion(pair, readings), "tail", 1)
    items = {item.problem.id: item for item in readings.post.thoughts.items}
    counted, planted = [], []
    for name, n in zip(readings.problem, tail.tolist(), strict=True):
        if not math.isnan(n):  # the problems that are wrong without the thought
            counted.append(n)
            planted.append(10 * items[name].text.count("check"))
    exact = [a == b for a, b in zip(counted, planted, strict=True)]
    assert len(exact) >= 15 and sum(exact) / len(exact) >= 0.85
    off = [abs(a - b) for a, b in zip(counted, planted, strict=True)]
    assert sum(off) / len(off) <= 1.7
    n = save_pruned(readings.post, tmp_path / "pruned.jsonl")
    pruned = [json.loads(line) for line in (tmp_path / "pruned.jsonl").read_text().splitlines()]
    assert len(pruned) == n >= 30
    assert all(items[row["id"]].text.startswith(row["trace"]) for row in pruned)
    shorter = sum("check" not in row["trace"] for row in pruned)
    assert shorter / n >= 0.85
    # Base's own thoughts have no tail on the same problems.
    base = _value(conclusion(pair, readings), "tail", 0)
    assert float(base[~base.isnan()].mean()) < 2


def test_gain_and_conclusion_are_those_of_shares_written_by_hand(read_given):
    """One thought of three cuts with shares .1, .4, .95; another that never settles."""
    made = read_given("rl")
    few = made.thoughts.only(
        [i.problem.id for i in made.thoughts.items if i.problem.difficulty == 2]
    )
    keep = [made.ledger.problem.index(item.problem.id) for item in few.items[:2]]
    book = made.ledger
    lanes = [book.lanes_of(k) for k in keep]
    assert all(s.stop - s.start == 3 for s in lanes)
    log_prob = book.candidate_log_prob.clone()
    for s, shares in zip(lanes, ((0.1, 0.4, 0.95), (0.3, 0.35, 0.6)), strict=True):
        gold = int(book.gold[int(book.lane_thought[s.start])])
        for lane, share in zip(range(s.start, s.stop), shares, strict=True):
            row = torch.full((10,), math.log((1 - share) / 9), dtype=torch.float64)
            row[gold] = math.log(share)
            log_prob[:, lane] = row
    readings = Readings.of_given(made.thoughts, replace(book, candidate_log_prob=log_prob))
    told, ended = information(made.pair, readings), conclusion(made.pair, readings)
    a, b = keep
    assert float(told.of("gain")[0, a]) == pytest.approx(math.log2(0.95 / 0.1))
    assert float(told.of("gain per step")[1, b]) == pytest.approx(math.log2(0.6 / 0.3) / 2)
    assert float(told.of("prior share")[0, a]) == pytest.approx(0.1)
    assert (
        float(ended.of("never settled")[0, a]) == 0 and float(ended.of("never settled")[0, b]) == 1
    )
    assert float(ended.of("concluded at")[0, a]) == 1
    assert math.isnan(float(ended.of("concluded at")[0, b]))


def test_a_copy_of_the_last_cut_adds_its_tokens_to_the_tail_and_changes_nothing_before(read_given):
    made = read_given("rl")
    book, lanes, ats = made.ledger, [], []
    for k in range(len(book)):
        s = book.lanes_of(k)
        lanes += [*range(s.start, s.stop), s.stop - 1]
        at = book.lane_at[s].tolist()
        ats += [*at, at[-1] + 7]
    copied = replace(
        book,
        lane_thought=book.lane_thought[lanes],
        lane_at=torch.tensor(ats),
        lane_char=book.lane_char[lanes],
        candidate_log_prob=book.candidate_log_prob[:, lanes],
    )
    once = conclusion(made.pair, made.readings)
    more = conclusion(made.pair, Readings.of_given(made.thoughts, copied))
    known = ~once.of("tail").isnan()
    assert torch.equal(more.of("tail")[known], once.of("tail")[known] + 7)
    assert torch.equal(more.of("never settled"), once.of("never settled"))
