"""Votes at equal tokens against every order of the samples by hand."""

from dataclasses import replace
from itertools import permutations

import pytest
import torch

from elicit.stats import Inference
from elicit.traces import TraceError, votes
from tests.traces.test_reach import GOOD, TASK, samples

FEW = Inference(n_resamples=100)


def three(answers: str, sizes: list[int]):
    """Three samples of each of three problems, with these answers and lengths."""
    return replace(
        samples(answers[:6], [GOOD] * 6),
        place=torch.arange(9) // 3,
        sample=torch.arange(9) % 3,
        correct=torch.tensor([a == "789"[i // 3] for i, a in enumerate(answers)]),
        truncated=torch.zeros(9, dtype=torch.bool),
        text=(GOOD,) * 9,
        extracted=tuple(None if a == "." else a for a in answers),
        n_tokens=torch.tensor(sizes),
        written=torch.zeros(sum(sizes), dtype=torch.long),
    )


BASE = three("77181.129", [3, 5, 2, 4, 4, 1, 2, 2, 6])
POST = three("777888992", [6, 6, 6, 5, 5, 5, 3, 3, 9])


def by_hand(texts, budget: int) -> float:
    """Mean over problems and orders of how often the most frequent answer is right."""
    total = 0.0
    for p, right in enumerate("789"):
        rows = [(texts.extracted[3 * p + s], int(texts.n_tokens[3 * p + s])) for s in range(3)]
        for order in permutations(rows):
            spent, cast = 0, []
            for answer, size in order:
                spent += size
                if spent <= budget and answer is not None:
                    cast.append(answer)
            most = max([cast.count(a) for a in cast], default=0)
            winners = {a for a in cast if cast.count(a) == most}
            total += (right in winners) / len(winners) if winners else 0.0
    return total / 18


def test_votes_are_the_mean_over_every_order_of_the_samples():
    budgets = (1, 4, 7, 12, 18)
    found = votes(TASK, BASE, POST, budgets=budgets, inference=FEW)
    assert found.n_orders == 6 and found.budget.tolist() == list(budgets)
    for m, texts in enumerate((BASE, POST)):
        assert found.accuracy.value[m].tolist() == pytest.approx(
            [by_hand(texts, budget) for budget in budgets]
        )
    assert found.exhausted[1].tolist() == pytest.approx([0, 0, 0, 0, 1])
    assert found.n_votes[0, -1] == 3 and found.n_votes[1, 0] == 0
    apart = found.accuracy.value[1] - found.accuracy.value[0]
    assert torch.allclose(found.difference.value, apart)


def test_a_model_beside_itself_votes_alike_and_longer_texts_need_longer_budgets():
    same = votes(TASK, POST, POST, inference=FEW)
    assert bool((same.difference.value == 0).all())
    # Tokens doubled everywhere are another unit of length.
    twice = three("777888992", [12, 12, 12, 10, 10, 10, 6, 6, 18])
    double = votes(TASK, POST, twice, budgets=(5, 10), inference=FEW)
    assert double.accuracy.value[1, 1] == double.accuracy.value[0, 0]
    assert same.budget.tolist() == [5, 11, 16]


def test_bad_budgets_are_refused():
    for budgets in ((), (0, 4)):
        with pytest.raises(TraceError, match="budgets are"):
            votes(TASK, BASE, POST, budgets=budgets)
