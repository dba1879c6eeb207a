"""Several conditions of both models: counts by hand, laws, and a planted pair."""

from dataclasses import replace

import pytest
import torch

from elicit.rollouts import Generation
from elicit.stats import Inference
from elicit.tasks import Problem, Task
from elicit.traces import (
    Condition,
    TraceError,
    abstains,
    compare_conditions,
    thinking,
)
from tests.traces.made import task_of
from tests.traces.test_reach import DIGITS, TASK, samples

FEW = Inference(n_resamples=100)
OPEN = Problem(id="p", prompt="Q", answer="7")
CHOICE = replace(OPEN, candidates=DIGITS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It cannot be determined.", True),
        ("The price Is Missing, so nobody knows", True),
        ("It cannot be determined. But I guess 7.", False),
        ("3 + 4 is missing a term: is missing", True),
        ("the mismissing 7", False),
        ("7", False),
        ("", False),
    ],
)
def test_an_abstention_is_explicit_and_no_answer_follows_it(text, expected):
    assert abstains(text, OPEN) is expected
    assert abstains(text, CHOICE) is expected


def test_an_abstention_may_be_any_word_of_the_task_s_own():
    assert abstains("so b = ? ; answer none .", CHOICE, ("none",))
    assert not abstains("so nonesuch", CHOICE, ("none",))


def one(answers: str, text: str = "t"):
    """One text of each of three problems."""
    return replace(
        samples("789789", [text] * 6),
        place=torch.arange(3),
        sample=torch.zeros(3, dtype=torch.long),
        correct=torch.tensor([a == b for a, b in zip(answers, "789", strict=True)]),
        truncated=torch.tensor([True, False, False]),
        n_tokens=torch.tensor([1, 2, 3]),
        written=torch.zeros(6, dtype=torch.long),
        text=(text,) * 3,
        extracted=tuple(None if a == "." else a for a in answers),
    )


def test_changes_interactions_and_chance_are_those_counted_by_hand():
    asked = {"plain": TASK, "hard": TASK}
    base = {"plain": one("787"), "hard": one("7..", "this is unknown")}
    post = {"plain": one("789"), "hard": one("789")}
    written = {name: (base[name], post[name]) for name in asked}
    found = compare_conditions(asked, written, inference=FEW)
    assert found.accuracy.value.flatten().tolist() == pytest.approx([2 / 3, 1, 1 / 3, 1])
    assert found.change.value.flatten().tolist() == pytest.approx([0, 0, -1 / 3, 0])
    assert found.interaction.value.tolist() == pytest.approx([0, 1 / 3])
    assert found.kept.value[1].tolist() == pytest.approx([0.5, 1])
    assert found.abstained.value.tolist() == [[0, 0], [1, 0]]
    # Base says 7 to the last problem, which is right for the first: 1 of 6 other pairs.
    assert found.floor[0].tolist() == pytest.approx([1 / 6, 0])
    assert found.truncated[0].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert found.mean_tokens[0].tolist() == [2, 2] and found.paired.tolist() == [True, True]


def test_other_problems_are_compared_by_means_and_nothing_is_paired():
    other = Task(
        name="far",
        problems=tuple(replace(p, id=f"far {p.id}") for p in TASK.problems),
    )
    far = [replace(one("7.."), task_digest=other.digest) for _ in range(2)]
    found = compare_conditions(
        {"near": TASK, "far": other}, {"near": (one("789"), one("789")), "far": far}, inference=FEW
    )
    assert found.paired.tolist() == [True, False]
    assert found.change.value[1].tolist() == pytest.approx([-2 / 3, -2 / 3])
    assert float(found.interaction.value[1]) == 0 and bool(found.kept.value[1].isnan().all())


def test_texts_of_other_tasks_and_single_conditions_are_refused():
    with pytest.raises(TraceError, match="two or more"):
        compare_conditions({"a": TASK}, {"a": (one("789"), one("789"))})
    odd = replace(one("789"), task_digest="0" * 64)
    with pytest.raises(TraceError, match="other problems"):
        compare_conditions({"a": TASK, "b": TASK}, {"a": (odd, odd), "b": (odd, odd)})


@pytest.mark.slow
def test_post_needs_no_opener_to_think_and_base_does(organism):
    pair, task = organism("rl"), task_of("rl", 12, least=2)
    modes = {
        name: Condition(task=task, opener=opener)
        for name, opener in {"off": "answer", "free": "", "on": "so"}.items()
    }
    how = Generation(max_new_tokens=72)
    few = Task(name="few", problems=task.problems[:3])
    lacking = {name: replace(mode, task=few) for name, mode in modes.items()}
    found = thinking(pair, modes, lacking, generation=how, inference=FEW)
    off, free, on = found.accuracy.value
    assert on.tolist() == [1, 1] and float(free[1]) == 1 and float(free[0]) < 0.6
    assert float(off.max()) < 0.7
    assert bool(found.accuracy_interaction.clear[1]) and found.accuracy_interaction.value[1] > 0.3
    assert bool((found.detected.value == 0).all()) and found.n_missing.tolist() == [3] * 3
    with pytest.raises(TraceError, match="same modes"):
        thinking(pair, modes, {"off": modes["off"]}, generation=how)
