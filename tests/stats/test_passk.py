"""pass@k against enumeration of all subsets, and against models with planted skill."""

from itertools import combinations
from math import comb, inf

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elicit import load_result
from elicit.stats import (
    Inference,
    covered,
    jackknifed,
    pass_at_k,
    pass_comparison,
    pass_curve,
)

HOW = Inference(n_resamples=300, seed=1)


def guesses(n: int, samples: int, *, among: int, skill: float = 0.0, seed: int = 0):
    """Answers and right answers: with a chance of `skill` right, else drawn at random."""
    rng = np.random.default_rng(seed)
    right = rng.integers(among, size=n)
    guessed = rng.integers(among, size=(n, samples))
    answers = np.where(rng.uniform(size=(n, samples)) < skill, right[:, None], guessed)
    return torch.tensor(answers), torch.tensor(right)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_pass_at_k_is_the_share_of_all_subsets_with_a_right_sample(n):
    for right in range(n + 1):
        samples = [1] * right + [0] * (n - right)
        for k in range(1, n + 1):
            hits = [any(chosen) for chosen in combinations(samples, k)]
            found = float(pass_at_k(torch.tensor([right]), n, [k])[0, 0])
            assert found == pytest.approx(np.mean(hits), abs=1e-15)


@given(st.integers(1, 2000), st.data())
def test_pass_at_k_is_exact_where_factorials_overflow(n, data):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    found = float(pass_at_k(torch.tensor([c]), n, [k])[0, 0])
    missed = comb(n - c, k) / comb(n, k)
    assert found == pytest.approx(1 - missed, rel=1e-9, abs=1e-12)


def test_the_plug_in_is_biased_and_this_is_not():
    assert float(pass_at_k(torch.tensor([1]), 64, [32])) == pytest.approx(0.5)
    plug_in = 1 - (1 - 1 / 64) ** 32
    assert plug_in == pytest.approx(0.396, abs=5e-4)


def test_no_end_lies_where_no_share_could_be():
    answers, right = guesses(6, 8, among=2, skill=0.9)
    found = pass_curve(answers, right, inference=HOW)
    both = covered(found, torch.ones(6, dtype=torch.bool), inference=HOW)
    for each in (found.passed, found.floor, both.covered, both.floor):
        assert float(each.low.min()) >= 0 and float(each.high.max()) <= 1
    # Without a limit the symmetric bars of so few problems would pass 1.
    from elicit.stats import joint_intervals

    assert joint_intervals(found.by_problem.numpy(), seed=1)[2].max() > 1


def test_the_floor_is_the_mean_over_all_other_problems_answers():
    answers, right = guesses(6, 4, among=3, skill=0.3)
    answers[0, 0] = -1
    found = pass_curve(answers, right, inference=HOW)
    for index, k in enumerate(found.k.tolist()):
        for i in range(6):
            others = [
                np.mean([bool((answers[i, list(s)] == right[j]).any())
                         for s in combinations(range(4), k)])
                for j in range(6)
                if j != i
            ]  # fmt: skip
            assert float(found.floor_by_problem[i, index]) == pytest.approx(np.mean(others))
    torch.testing.assert_close(found.floor.value, found.floor_by_problem.mean(dim=0))
    torch.testing.assert_close(found.above.value, found.passed.value - found.floor.value)


def test_what_problems_say_of_ability_is_what_leaving_them_out_says():
    # Each is graded, and lends its answer to all others: the jackknife drops both.
    answers, right = guesses(80, 6, among=5, skill=0.3)
    found = pass_curve(answers, right, k=[1, 3], inference=HOW)

    def above(kept: np.ndarray) -> np.ndarray:
        part = pass_curve(
            answers[kept], right[kept], k=[1, 3], inference=Inference(n_resamples=100)
        )
        return part.above.value.numpy()

    oracle = jackknifed(above, torch.arange(80)).by_problem
    torch.testing.assert_close(found.above_by_problem, oracle, atol=0.02, rtol=0)
    alone = found.by_problem - found.floor_by_problem
    assert float((alone - oracle).abs().max()) > 0.06


def test_a_model_without_skill_passes_most_at_large_k_and_nothing_above_the_floor():
    found = pass_curve(*guesses(120, 12, among=10), k=[1, 4, 12], inference=HOW)
    assert float(found.passed.value[2]) == pytest.approx(1 - 0.9**12, abs=0.12)
    assert not bool(found.above.clear.any())
    skilled = pass_curve(*guesses(120, 12, among=10, skill=0.4), k=[1, 4, 12], inference=HOW)
    assert bool((skilled.above.low > 0).all())
    assert float(skilled.above.value[0]) == pytest.approx(0.4, abs=0.08)


def test_a_sample_without_an_answer_is_never_right_and_numbers_of_answers_are_names():
    answers, right = guesses(8, 5, among=4, skill=0.5)
    named = torch.tensor([7, 3, 12, 0])
    one, other = pass_curve(answers, right), pass_curve(named[answers], named[right])
    assert torch.equal(one.by_problem, other.by_problem)
    torch.testing.assert_close(one.floor_by_problem, other.floor_by_problem)
    none = pass_curve(torch.full((8, 5), -1), right, inference=HOW)
    assert bool((none.passed.value == 0).all()) and bool((none.passed.high > 0).all())


def planted(shares, n_samples: int = 16):
    """Answers with a given number of right samples for each problem; wrong ones are all unlike."""
    n = len(shares)
    answers = 1000 + torch.arange(n * n_samples).reshape(n, n_samples)
    for row, share in enumerate(shares):
        answers[row, :share] = row
    return pass_curve(answers, torch.arange(n), inference=HOW)


def test_a_crossover_is_found_where_the_curves_cross():
    # Post passes half of the problems always and the others never; base all of them sometimes.
    post, base = planted([16] * 10 + [0] * 10), planted([4] * 20)
    found = pass_comparison(post, base, inference=HOW)
    expected = next(k for k in range(1, 17) if 1 - comb(12, k) / comb(16, k) > 0.5)
    assert float(found.crossover.value) == expected == 3
    assert found.crossover.low <= 3 <= found.crossover.high
    assert found.outcome == "crossover at k = 3" and found.crossed > 0.9
    assert float(found.difference.value[0]) == pytest.approx(0.25)


def test_a_model_never_overtakes_itself_nor_one_that_passes_everything():
    base, best = planted([4] * 12), planted([16] * 12)
    for first, second in ((base, base), (best, base)):
        found = pass_comparison(first, second, inference=HOW)
        assert float(found.crossover.value) == inf and found.crossed == 0
        assert found.outcome == "no crossover up to k = 16"
    same = pass_comparison(base, base, inference=HOW)
    assert bool((same.difference.value == 0).all())
    ahead = pass_comparison(base, best, inference=HOW)
    assert float(ahead.crossover.value) == 1 and ahead.outcome == "ahead from k = 1 on"


def test_a_crossover_that_some_resamples_lack_has_no_upper_end(tmp_path):
    # A lead at large k that rests on two of twelve problems.
    first, second = planted([16] * 10 + [0] * 2), planted([15] * 10 + [2, 2])
    found = pass_comparison(first, second, inference=HOW)
    assert 1 < float(found.crossover.value) < inf and float(found.crossover.high) == inf
    assert 0.5 < found.crossed < 1
    again = load_result(found.save(tmp_path / "r"))
    assert float(again.crossover.high) == inf  # pyright: ignore[reportAttributeAccessIssue]


def test_coverage_counts_solved_problems_only_and_stands_beside_its_floor():
    base = planted([4] * 6 + [0] * 6)
    post_solves = torch.tensor([True] * 3 + [False] * 3 + [True] * 3 + [False] * 3)
    found = covered(base, post_solves, inference=HOW)
    assert found.n_solved == 6
    assert float(found.covered.value[0]) == pytest.approx(0.5 * 4 / 16)
    assert float(found.covered.value[-1]) == 0.5 and float(found.floor.value[-1]) == 0
    guessing = pass_curve(*guesses(80, 12, among=6), k=[12], inference=HOW)
    luck = covered(guessing, torch.arange(80) % 2 == 0, inference=HOW)
    assert float(luck.covered.value) > 0.75 and not bool(luck.above.clear)


def test_what_cannot_be_counted_or_compared_is_refused():
    with pytest.raises(ValueError, match="Draw more samples"):
        pass_at_k(torch.tensor([1]), 4, [8])
    with pytest.raises(ValueError, match="runs from 5 to 5"):
        pass_at_k(torch.tensor([5]), 4, [1])
    with pytest.raises(ValueError, match="at least 2 problems"):
        pass_curve(torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, dtype=torch.long))
    with pytest.raises(ValueError, match="same problems"):
        pass_comparison(planted([1] * 4), planted([1] * 5))
    with pytest.raises(ValueError, match="fewer than 2"):
        covered(planted([1] * 4), torch.tensor([True, False, False, False]))
