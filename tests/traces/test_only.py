"""Readings of some of the problems: nothing is read again, and no number changes."""

from dataclasses import replace

import pytest
import torch

from elicit.stats import Inference
from elicit.traces import Readings, TraceError, information, ledger
from tests.traces.made import FORM, STEPS

FEW = Inference(n_resamples=100)


@pytest.mark.slow(checked=True)
def test_a_ledger_of_some_texts_is_what_reading_only_them_gives(read_given):
    made = read_given("rl")
    ids = [made.ledger.problem[i] for i in (1, 4, 5, 11)]
    found = made.ledger.only(ids)
    again = ledger(made.pair, made.thoughts.only(ids), form=FORM, steps=STEPS)
    assert found.problem == again.problem and found.text == again.text
    for name in ("token_id", "token_thought", "lane_thought", "lane_at", "n_prompt", "gold"):
        assert torch.equal(getattr(found, name), getattr(again, name)), name
    for name in ("log_prob", "entropy", "jsd", "prompt_log_prob"):
        assert torch.allclose(getattr(found, name), getattr(again, name), atol=1e-4), name
    with pytest.raises(TraceError, match="none of the 1 problems"):
        made.ledger.only(["nobody"])


@pytest.mark.slow(checked=True)
def test_measures_of_some_problems_are_the_means_of_their_values(read_given):
    made = read_given("rl")
    ids = made.readings.problem[::2]
    few = made.readings.only(ids)
    assert few.same_text and few.problem == ids
    whole, part = made.information, information(made.pair, few, inference=FEW)
    assert torch.equal(part.by_problem, whole.by_problem[..., ::2])
    found = made.dependence.only(ids, inference=FEW)
    assert found.problem == ids and torch.equal(
        found.by_problem.nan_to_num(-1), made.dependence.by_problem[..., ::2].nan_to_num(-1)
    )
    assert torch.allclose(found.estimate.value, found.by_problem.nanmean(-1), equal_nan=True)
    assert {each.problem for each in found.altered} <= set(ids) and found.n_unaltered == 0


@pytest.mark.slow(checked=True)
def test_own_readings_keep_two_texts_of_the_problems_that_stay(read_given):
    made = read_given("rl")
    ids = list(made.readings.problem)
    base = made.thoughts.only(ids[:5]), made.ledger.only(ids[:5])
    post = made.thoughts.only(ids[2:8]), made.ledger.only(ids[2:8])
    own = Readings.of_own(
        (replace(base[0], source="base"), base[1]), (replace(post[0], source="post"), post[1])
    )
    few = own.only(ids[1:4])
    assert few.problem == tuple(ids[1:4]) and few.post.ledger.problem == tuple(ids[2:4])
    with pytest.raises(TraceError):
        own.only(ids[:2])
