"""pass@k of both models, verified and above chance: samples written by hand, and a planted pair."""

from itertools import permutations

import pytest
import torch

from elicit.rollouts import Generation, Rollouts, Sampling, rollouts
from elicit.tasks import Problem, Task
from elicit.traces import EquationsHold, TraceError, reach
from elicit.traces.reach import coverage_p
from tests.traces.made import task_of

DIGITS = tuple("0123456789")
TASK = Task(
    name="hand",
    problems=tuple(
        Problem(id=f"p{i}", prompt="Q", answer=answer, candidates=DIGITS)
        for i, answer in enumerate("789")
    ),
)
GOOD, BAD = "so b = 3 + 4 = 7 ;", "so b = 3 + 4 = 8 ;"


def samples(answers: str, thoughts: list[str]) -> Rollouts:
    """Two samples of each problem that answer so after these thoughts; a dot is no answer."""
    n = len(answers)
    return Rollouts(
        task=TASK.name,
        task_digest=TASK.digest,
        sampling=Sampling(
            stop_ids=(2,), max_new_tokens=8, temperature=1.0, top_p=1.0, seed=0, templated=False
        ),
        problem=tuple(p.id for p in TASK),
        place=torch.arange(n) // 2,
        sample=torch.arange(n) % 2,
        correct=torch.tensor([a == TASK.problems[i // 2].answer for i, a in enumerate(answers)]),
        truncated=torch.zeros(n, dtype=torch.bool),
        n_tokens=torch.ones(n, dtype=torch.long),
        n_forced=torch.zeros(3, dtype=torch.long),
        n_prompt=torch.ones(3, dtype=torch.long),
        written=torch.zeros(n, dtype=torch.long),
        prompted=torch.zeros(3, dtype=torch.long),
        text=tuple(thoughts),
        extracted=tuple(None if a == "." else a for a in answers),
    )


def test_every_share_is_the_one_counted_by_hand():
    base = samples("777.91", [BAD, GOOD, GOOD, GOOD, BAD, GOOD])
    post = samples("778899", [GOOD] * 6)
    found = reach(TASK, base, post, checker=EquationsHold(modulus=10))
    assert found.k.tolist() == [1, 2] and found.n_samples == 2 and found.n_solved == 3
    # Base: p0 both right, p1 none, p2 one of two; post: p0 and p1 and p2 both.
    assert found.passed.value[0].tolist() == pytest.approx([0.5, 2 / 3])
    assert found.passed.value[1].tolist() == pytest.approx([1.0, 1.0])
    # One of p0's thoughts holds, and the right answer to p2 stands after one that does not.
    assert found.verified.value[0].tolist() == pytest.approx([1 / 6, 1 / 3])
    assert found.verified.value[1].tolist() == pytest.approx([1.0, 1.0])
    assert found.valid.value.tolist() == pytest.approx([2 / 3, 1.0])
    # Against other problems' answers: p1's first sample says 7, p2's none says 7 or 8.
    assert found.floor.value[1].tolist() == pytest.approx([0.0, 0.0])
    assert found.coverage.value.tolist() == pytest.approx([0.5, 2 / 3])


def test_coverage_against_chance_is_every_way_to_deal_out_the_right_answers():
    answers, right = torch.tensor([[0, 0], [1, 2], [2, 1], [9, 0]]), torch.tensor([0, 1, 2, 0])
    solved = torch.tensor([True, True, False, True])
    found = coverage_p(answers, right, solved, n_draws=4000)
    # By hand: all 24 ways.
    ways = [
        sum(int(right[deal[i]]) in answers[i].tolist() for i in (0, 1, 3)) / 3
        for deal in permutations(range(4))
    ]
    chance, reached = sum(ways) / 24, 1.0
    share = sum(abs(way - chance) >= abs(reached - chance) - 1e-9 for way in ways) / 24
    assert found == pytest.approx(share, abs=0.03)
    assert torch.tensor(coverage_p(answers, right, solved & False)).isnan()


def test_skill_is_told_from_chance_and_chance_is_not_called_skill():
    """Where chance reaches few problems, differences from it are skewed and no signs to flip."""
    random = torch.Generator().manual_seed(0)
    solved = torch.ones(30, dtype=torch.bool)
    p = []
    for seed in range(120):
        answers = torch.randint(40, (30, 4), generator=random)
        right = torch.randint(40, (30,), generator=random)
        p.append(coverage_p(answers, right, solved, n_draws=400, seed=seed))
    assert sum(each < 0.05 for each in p) <= 12
    right = torch.randint(40, (30,), generator=random)
    assert coverage_p(right[:, None].repeat(1, 2), right, solved, n_draws=400) < 0.01


def test_without_a_checker_nothing_is_called_verified():
    found = reach(TASK, samples("778899", [GOOD] * 6), samples("778899", [GOOD] * 6))
    assert bool(found.verified.value.isnan().all()) and bool(found.valid.value.isnan().all())
    assert float(found.crossover.value) == float("inf")


def test_samples_that_cannot_be_paired_are_refused():
    base = samples("778899", [GOOD] * 6)
    with pytest.raises(TraceError):
        reach(TASK, base, base.select([0, 1, 2, 3]))


@pytest.mark.parametrize(
    ("text", "modulus", "holds"),
    [
        ("so b = 3 * 9 = 7 ;", 10, True),
        ("so b = 3 * 9 = 8 ;", 10, False),
        ("so b = 3 - 7 = 6 ;", 10, True),
        ("so b = 3 * 9 = 7 ;", None, False),
        ("3 * 9 = 27, 27 + 1 = 28.", None, True),
        ("3 * 9 = 27, 27 + 1 = 29.", None, False),
        ("nothing to check", None, None),
    ],
)
def test_equations_hold_or_not(text, modulus, holds):
    assert EquationsHold(modulus=modulus)(TASK.problems[0], text) is holds


@pytest.mark.slow
def test_verified_pass_at_k_tells_a_base_from_its_decoupled_sibling(organism):
    pair, task = organism("decoupled"), task_of("decoupled", 20)
    begun = {p.id: pair.alignment.plain("so")[-1:] for p in task}
    written = [
        rollouts(
            pair.side(name),
            task,
            generation=Generation(max_new_tokens=72, temperature=1.0, n_samples=6),
            prefixes=begun,
        )
        for name in ("base", "post")
    ]
    found = reach(task, *written, checker=EquationsHold(modulus=10))
    assert float(found.verified.value[0, -1]) >= 0.9
    assert float(found.verified.value[1, -1]) <= 0.2
    # Plain pass@k hardly tells them apart: few answers are possible.
    assert float(found.passed.value[1, -1]) >= 0.4
