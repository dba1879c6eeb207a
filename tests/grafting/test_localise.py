"""From values to verdicts: on tables made by hand."""

from dataclasses import replace

import pytest
import torch

from elicit.grafting import (
    GraftError,
    Verdict,
    facts,
    integrate,
    interpolate,
    localise,
    skills,
    sweep_intervals,
    sweep_parts,
)
from elicit.grafting._conclusion import _named, _role, _widened
from elicit.results import Estimate
from elicit.runs import Execution
from elicit.stats import Inference, wilson
from elicit.weights import parts_of
from tests.page.made import roles


def estimate(*ends: float) -> Estimate:
    return Estimate.of(torch.tensor(ends, dtype=torch.float64).reshape(3, 1, 1))


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
    assert _role(estimate(gap, low, high)[0, 0], 0.05) == role


HEALS, HARMS = (0.3, 0.2, 0.4), (-0.3, -0.4, -0.2)
UNSURE_UP, UNSURE_DOWN = (0.3, -0.1, 0.7), (-0.3, -0.7, 0.1)
TINY_UP, TINY_DOWN = (0.01, 0.005, 0.015), (-0.01, -0.015, -0.005)


@pytest.mark.parametrize(
    ("role", "back", "forth", "named"),
    [
        ("damage", HEALS, HARMS, True),
        ("damage", HEALS, UNSURE_DOWN, False),  # one direction is not enough
        ("damage", UNSURE_UP, HARMS, False),
        ("damage", TINY_UP, TINY_DOWN, False),  # sure, and below a share of the gap
        ("damage", HARMS, HEALS, False),  # the mirror is no damage
        ("skill", HARMS, HEALS, True),
        ("skill", HEALS, HARMS, False),
        ("none", HEALS, HARMS, False),  # without a gap nothing is named
    ],
)
def test_a_verdict_needs_both_directions_sure_and_large_enough(role, back, forth, named):
    gap = estimate(-0.5, -0.6, -0.4)[:, 0]
    effects = estimate(*back), estimate(*forth)
    for asked in ("damage", "skill"):
        found = _named(asked, [role], gap, *effects, 0.05)
        assert found.tolist() == [named and asked == role]


def flagged(changed, corrupted, carries_skill):
    part = replace(
        roles(),
        changed=torch.full((21,), changed),
        corrupted=torch.full((21,), corrupted),
        carries_skill=torch.full((21,), carries_skill),
    )
    return part.verdict[0]


def test_a_part_is_unchanged_or_merely_changed_or_has_one_or_both_verdicts():
    assert flagged(False, False, False) == (Verdict.UNCHANGED,)
    assert flagged(True, False, False) == (Verdict.CHANGED,)
    assert flagged(True, True, False) == (Verdict.CORRUPTED,)
    assert flagged(True, False, True) == (Verdict.SKILL,)
    assert flagged(True, True, True) == (Verdict.CORRUPTED, Verdict.SKILL)


def test_equal_outcomes_of_few_problems_are_not_certain():
    inference, sure = Inference(level=0.95), wilson(30, 30).low
    same = torch.tensor([-1.0, 0.0, 0.5]).double().repeat(30, 1)
    same[0, 2] = 0.0  # one problem that differs keeps its interval
    narrow = Estimate.of(torch.tensor([[-1.0, 0, 0.4], [-1, 0, 0.1], [-1, 0, 0.9]]).double())
    wide = _widened(narrow, same, inference)
    assert wide.low.tolist() == pytest.approx([-1, sure - 1, 0.1])
    assert wide.high.tolist() == pytest.approx([1 - 2 * sure, 1 - sure, 0.9])


def test_a_sweep_of_nothing_is_refused(organism, tasks_of):
    known, _ = tasks_of("shuffled-l3")
    with pytest.raises(GraftError):
        localise(organism("shuffled-l3"))
    with pytest.raises(GraftError, match="facts"):
        localise(organism("shuffled-l3"), damage=known, skill=known)


def test_the_four_shares_count_the_problems_that_they_say(organism, tasks_of):
    known, _ = tasks_of("shuffled-l3")
    found = localise(organism("shuffled-l3"), damage=known, kinds=["layer"], controls=0)
    assert found.role[0] == "damage"
    healing, _, retention, _ = (found.solved[share] for share in range(4))
    assert healing.value[3] > 0.99  # base's layer 3 brings every fact back
    assert healing.value[0] == 0  # an untouched layer heals nothing
    assert retention.value.isnan().all()  # nothing was gained, so nothing is retained
    assert bool(((healing.low <= healing.value) & (healing.value <= healing.high)).all())


def test_a_handful_of_problems_names_nothing(organism, tasks_of):
    known, _ = tasks_of("shuffled-l3")
    for n, corrupted in ((4, ()), (12, (3,))):
        few = facts(known.task.subset(n, seed=0))
        found = localise(organism("shuffled-l3"), damage=few, kinds=["layer"], controls=0)
        assert found.corrupted_layers == corrupted


class Bar:
    """How far a job said it was, and how far it came."""

    def __init__(self) -> None:
        self.jobs: list[list[int]] = []

    def start(self, total: int, what: str) -> None:
        self.jobs.append([total, 0])

    def advance(self, n: int = 1, what: str | None = None) -> None:
        self.jobs[-1][1] += n

    def stop(self) -> None:
        total, done = self.jobs[-1]
        assert done == total


class Remembered:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.cells: dict = {}

    def get_or_compute(self, key, compute):
        if key not in self.cells:
            self.cells[key] = compute()
        return self.cells[key]


@pytest.mark.slow
def test_the_bar_of_every_sweep_ends_where_it_said_also_when_it_is_resumed(organism, tasks_of):
    pair, (known, asked) = organism("shuffled-l3"), tasks_of("shuffled-l3")
    known = facts(known.task.subset(12, seed=0))
    asked = skills(asked.task.subset(4, seed=0), max_new_tokens=4)
    cells, quick = Remembered(), Inference(n_resamples=100)
    for _ in range(2):
        bar = Bar()
        how = {"execution": Execution(progress=bar, checkpoint=cells)}
        sure = {"inference": quick, **how}
        localise(pair, damage=known, skill=asked, kinds=["layer", "outside"], **sure)
        sweep_parts(pair, [known, asked], parts_of(pair, "layer")[2:4], "graft", **sure)
        sweep_intervals(pair, [known, asked], **sure)
        interpolate(pair, [known, asked], alphas=(0.0, 0.5), **sure)
        integrate(pair, [known], nodes=2, max_nodes=2, **how)
        assert len(bar.jobs) == 5
        kept = len(cells.cells)
    assert len(cells.cells) == kept
