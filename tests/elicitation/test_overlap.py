"""Overlap of newly solved problems: planted overlap, none beyond difficulty, an exact oracle."""

from itertools import combinations

import numpy as np
import pytest
import torch

from elicit.elicitation import ElicitationError, solved_overlap


def column(solved, n):
    return torch.tensor([float(i in solved) for i in range(n)]).double()


def test_the_null_is_that_of_all_permutations_within_difficulties():
    """Every way to place b's solved problems, listed by hand in two strata."""
    easy, hard = range(5), range(5, 9)
    a, b = {0, 1, 2, 5}, {0, 1, 6}
    found = solved_overlap(
        torch.zeros(9).double(), {"a": column(a, 9), "b": column(b, 9)}, [1] * 5 + [2] * 4
    )
    counts = np.array(
        [len((set(x) | set(y)) & a) for x in combinations(easy, 2) for y in combinations(hard, 1)]
    )
    assert int(found.shared[0, 1]) == 2
    assert found.expected[0, 1].item() == pytest.approx(counts.mean())
    assert found.p[0, 1].item() == pytest.approx((counts >= 2).mean())
    assert found.decidable[0, 1].item() == pytest.approx((counts == counts.max()).mean())


def test_what_difficulty_explains_is_no_overlap():
    """Both solve the easy half and nothing else: all is shared, and nothing is beyond chance."""
    easy = column(range(20), 40)
    right = {"a": easy, "b": easy}
    found = solved_overlap(torch.zeros(40).double(), right, [1] * 20 + [2] * 20)
    assert int(found.shared[0, 1]) == 20 and found.p[0, 1].item() == pytest.approx(1.0)
    assert found.expected[0, 1].item() == 20
    pooled = solved_overlap(torch.zeros(40).double(), right, [1] * 40)
    assert pooled.p[0, 1].item() < 1e-9


def test_a_planted_overlap_within_difficulties_is_found_and_problems_of_base_do_not_count():
    same, other = column([*range(0, 10), *range(20, 30)], 40), column(range(40), 40)
    base = column([39], 40)
    found = solved_overlap(base, {"a": same, "b": same, "c": other}, [1] * 20 + [2] * 20)
    assert found.p[0, 1].item() < 1e-6
    assert found.p[0, 2].item() == pytest.approx(1.0) == found.decidable[0, 2].item()
    assert int(found.n_solved[2]) == 39 and found.n_failed == 39
    assert torch.equal(found.shared, found.shared.T)
    assert bool(found.p.diagonal().isnan().all())


def test_columns_of_other_problems_are_refused():
    with pytest.raises(ElicitationError, match="same problems"):
        solved_overlap(torch.zeros(3).double(), {"a": torch.zeros(3), "b": torch.zeros(2)}, [1] * 3)
