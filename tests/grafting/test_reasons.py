"""Why a part that changed has no verdict: the word says no more than the interval."""

from dataclasses import replace

import pytest
import torch

from elicit.grafting import LayerRoles
from elicit.results import Estimate
from tests.page.made import roles

GAP, MARGIN = 0.41, 0.05


def with_effects(revert: tuple[float, float], graft: tuple[float, float]) -> LayerRoles:
    """Layer 0 with effects (value and half width) on the task that post lost; others at 0."""
    made = roles()
    none = torch.zeros_like(made.corrupted)

    def effect(value: float, half: float) -> Estimate:
        middle = torch.zeros_like(made.revert.value)
        width = torch.full_like(middle, 0.001)
        middle[0, 0], width[0, 0] = value, half
        return Estimate(value=middle, low=middle - width, high=middle + width)

    return replace(
        made,
        revert=effect(*revert),
        graft=effect(*graft),
        corrupted=none,
        carries_skill=none,
    )


@pytest.mark.parametrize(
    ("revert", "graft", "reason"),
    [
        ((0.2, 0.05), (-0.01, 0.05), "one-way"),
        ((0.0, 0.05), (-0.2, 0.05), "one-way"),
        ((0.2, 0.05), (0.2, 0.05), "one-way"),  # both help: no verdict has such signs
        ((0.01, 0.005), (-0.01, 0.005), "below margin"),  # clear of 0, below 5 % of the gap
        ((0.01, 0.005), (-0.01, 0.05), "below margin"),
        ((0.01, 0.05), (-0.01, 0.05), "not distinguishable"),
        ((0.2, 0.3), (-0.2, 0.3), "not distinguishable"),
    ],
)
def test_the_reason_is_that_of_the_intervals(revert, graft, reason):
    found = with_effects(revert, graft)
    assert found.reason[0] == reason
    assert found.label[0] == f"changed, {reason}"
    assert found.reason[5] == "" and found.label[5] == "unchanged"
    # "Not distinguishable" is said of no effect whose interval excludes 0.
    clear = found.revert.clear[:, 0].any() or found.graft.clear[:, 0].any()
    assert bool(clear) == (reason in ("one-way", "below margin"))


def test_what_too_few_problems_do_not_show_is_under_powered():
    found = with_effects((0.01, 0.05), (-0.01, 0.05))
    assert replace(found, needed=(240, 2)).reason[0] == "not distinguishable"
    assert replace(found, needed=(241, 2)).reason[0] == "under-powered"
    # A task that was neither lost nor gained decides nothing.
    none = replace(found, needed=(2, 10_000), role=("damage", "none"))
    assert none.reason[0] == "not distinguishable"


def test_without_a_gap_there_is_no_reason_but_that():
    assert set(roles(plant=False).reason) == {"no gap", ""}


def test_a_part_with_a_verdict_needs_no_reason():
    made = roles()
    assert [made.reason[i] for i in (1, 3, 4, 5)] == [""] * 4
    assert made.label[1] == "corrupted" and made.label[3] == "carries the skill"
