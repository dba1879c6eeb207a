"""From values to verdicts: on tables made by hand."""

import numpy as np
import pytest
import torch

from elicit.grafting import GraftError, facts, revert
from elicit.grafting.conclusion import _role, _verdict, _widened
from elicit.stats import Inference, wilson


def fields(**effects: tuple[float, float, float]) -> dict[str, torch.Tensor]:
    out = {}
    for name, (value, low, high) in effects.items():
        for end, number in (("", value), ("_low", low), ("_high", high)):
            out[name + end] = torch.tensor([[number]], dtype=torch.float64)
    return out


@pytest.mark.parametrize(
    ("gap", "low", "high", "role"),
    [
        (-0.5, -0.6, -0.4, "damage"),
        (0.5, 0.4, 0.6, "skill"),
        (0.5, -0.1, 1.1, "none"),  # not clear of 0
        (-0.04, -0.05, -0.03, "none"),  # clear of 0 and too small to matter
        (0.0, 0.0, 0.0, "none"),
    ],
)
def test_a_role_needs_a_gap_that_is_sure_and_large_enough(gap, low, high, role):
    assert _role(gap, low, high, 0.05) == role


HEALS, HARMS = (0.3, 0.2, 0.4), (-0.3, -0.4, -0.2)
UNSURE_UP, UNSURE_DOWN = (0.3, -0.1, 0.7), (-0.3, -0.7, 0.1)
TINY_UP, TINY_DOWN = (0.01, 0.005, 0.015), (-0.01, -0.015, -0.005)


@pytest.mark.parametrize(
    ("role", "back", "forth", "verdict"),
    [
        ("damage", HEALS, HARMS, "corrupted"),
        ("damage", HEALS, UNSURE_DOWN, "changed"),  # one direction is not enough
        ("damage", UNSURE_UP, HARMS, "changed"),
        ("damage", TINY_UP, TINY_DOWN, "changed"),  # sure, and below a share of the gap
        ("damage", HARMS, HEALS, "changed"),  # the mirror is no damage
        ("skill", HARMS, HEALS, "skill"),
        ("skill", HEALS, HARMS, "changed"),
        ("none", HEALS, HARMS, "changed"),  # without a gap nothing is named
    ],
)
def test_a_verdict_needs_both_directions_sure_and_large_enough(role, back, forth, verdict):
    gap = -0.5 if role == "damage" else 0.5
    assert _verdict(0, True, [role], [gap], fields(revert=back, graft=forth), 0.05) == verdict
    assert _verdict(0, False, [role], [gap], fields(revert=back, graft=forth), 0.05) == "unchanged"


def test_equal_outcomes_of_few_problems_are_not_certain():
    low, high = _widened(np.full(30, -1.0), -1.0, -1.0, Inference(level=0.95))
    assert low == -1
    assert high == pytest.approx(1 - 2 * wilson(30, 30).low)
    low, high = _widened(np.zeros(30), 0.0, 0.0, Inference(level=0.95))
    assert high == -low == pytest.approx(1 - wilson(30, 30).low)
    assert _widened(np.array([0.0, 1.0]), 0.1, 0.9, Inference(level=0.95)) == (0.1, 0.9)


def test_a_sweep_of_nothing_is_refused(organism, tasks_of):
    known, _ = tasks_of("shuffled-l3")
    with pytest.raises(GraftError, match="no task was given"):
        revert(organism("shuffled-l3"))
    with pytest.raises(GraftError, match="both tasks are called 'facts'"):
        revert(organism("shuffled-l3"), damage=known, skill=known)


def test_the_four_shares_count_the_problems_that_they_say(organism, tasks_of):
    known, _ = tasks_of("shuffled-l3")
    found = revert(organism("shuffled-l3"), damage=known, kinds=["layer"], control_draws=0)
    assert found.role[0] == "damage"
    assert found.healing[3] > 0.99  # base's layer 3 brings every fact back
    assert found.healing[0] == 0  # an untouched layer heals nothing
    assert found.target_retention.isnan().all()  # nothing was gained, so nothing is retained
    low, high = found.partition_low[0], found.partition_high[0]
    assert bool(((low <= found.healing) & (found.healing <= high)).all())


def test_a_handful_of_problems_names_nothing(organism, tasks_of):
    known, _ = tasks_of("shuffled-l3")
    for n, corrupted in ((4, ()), (12, (3,))):
        few = facts(known.task.subset(n, seed=0))
        found = revert(organism("shuffled-l3"), damage=few, kinds=["layer"], control_draws=0)
        assert found.corrupted_layers == corrupted
