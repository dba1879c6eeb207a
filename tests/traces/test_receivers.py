"""Heads that look at one step, told from heads that look at what was written last."""

import pytest
import torch

from elicit.capture import capture
from elicit.runs import Execution
from elicit.sites import pattern
from elicit.traces import TraceError, receivers
from elicit.traces._encoded import encoded
from elicit.traces.receivers import _attention, _scores
from tests.traces.made import FORM, given_readings, task_of


@pytest.fixture(scope="module")
def read(organism):
    """Base and itself on given thoughts of four steps and more."""
    pair = organism("identity")
    return pair, given_readings(pair, task_of("rl", 3, least=4))


def by_hand(*rows: float) -> torch.Tensor:
    """Attention of one head that gives later steps `rows` by distance, over five steps."""
    made = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    for apart, value in enumerate(rows, start=1):
        made[0, 0].diagonal(-apart).fill_(value)
    return made


def test_a_head_that_attends_by_distance_is_recency_alone():
    found = _scores([by_hand(0.6, 0.2, 0.1, 0.05)] * 2, 1)
    assert found["above_recency"].abs().max().item() < 1e-12
    just = 4 * 0.6 / (4 * 0.6 + 3 * 0.2 + 2 * 0.1 + 0.05)
    assert found["within_one"][0].item() == pytest.approx(just)


def test_a_head_that_attends_to_one_step_stands_above_its_recency():
    made = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    made[0, 0, 2:, 1] = 0.5
    found = _scores([made] * 2, 1)
    assert found["concentration"].flatten().tolist() == [1.0, 1.0]
    assert bool((found["above_recency"] > 0.3).all())


def test_attention_of_steps_is_averaged_over_later_tokens_and_summed_over_earlier_ones(read):
    pair, readings = read
    (row, *_) = encoded(pair.side("base"), readings.base, FORM)
    (found,) = _attention(pair.side("base"), [row], Execution())
    site = pattern(2)
    with torch.no_grad():
        seen = capture(pair.base, torch.tensor([row.ids]), sites=[site]).at[site][0]
    ends = [row.start + at for at in row.text_at]
    mine = seen[:, ends[3] : ends[4], ends[1] : ends[2]].sum(-1).mean(-1)
    assert torch.allclose(found[2, :, 3, 1].float(), mine, atol=1e-6)
    assert bool((found.sum(-1) <= 1 + 1e-5).all())


def test_two_equal_models_have_equal_heads(read):
    found = receivers(*read, form=FORM)
    assert torch.equal(found.concentration.value[0], found.concentration.value[1])
    assert found.n_texts.tolist() == [3, 3]
    assert torch.allclose(
        found.above_recency.value, found.concentration.value - found.by_recency, atol=1e-12
    )


def test_gaps_that_no_text_is_long_enough_for_are_refused(read):
    with pytest.raises(TraceError, match="Pass a smaller gap"):
        receivers(*read, form=FORM, gap=9)
    with pytest.raises(TraceError, match="looking at itself"):
        receivers(*read, form=FORM, gap=0)
