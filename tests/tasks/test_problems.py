"""Problems refuse what could not be scored; subsets and splits keep the mix of difficulties."""

import random
from collections import Counter

import pytest

from elicit.tasks import Problem, Task, TaskError


def task_of(difficulties, name="t"):
    return Task(
        name=name,
        problems=tuple(
            Problem(id=f"p{place}", prompt=f"{place} ?", answer="1", difficulty=difficulty)
            for place, difficulty in enumerate(difficulties)
        ),
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"id": ""}, "'id' is empty"),
        ({"prompt": "  \n"}, "'prompt' is empty"),
        ({"answer": ""}, "'answer' is empty"),
        ({"answer": " 7"}, "white space"),
        ({"candidates": ("8", "9")}, "not among the 2 candidates"),
        ({"answer": "Rome", "candidates": ("rome", "Paris")}, "Write it as there: 'rome'"),
        ({"candidates": ("7",)}, "1 of the at least 2"),
        ({"candidates": ("7", "8", "7", "7")}, "'7' is there twice"),
        ({"candidates": ("7", "7.0")}, "'7' and '7.0' are read as the same"),
        ({"candidates": ("7", "e\u0301", "\u00e9")}, "are read as the same"),
        ({"candidates": ("7", "")}, "'candidate 2' is empty"),
        ({"candidates": ("7", "8 ")}, "'candidate 2' has white space"),
        ({"difficulty": float("nan")}, "no place in an order"),
        ({"difficulty": True}, "true or false"),
        ({"trace": " "}, "'trace' is empty"),
        ({"prompt": "\ud800"}, "surrogate"),
    ],
)
def test_a_problem_that_could_not_be_scored_says_why(changed, said):
    with pytest.raises(TaskError) as caught:
        Problem(**{"id": "1", "prompt": "?", "answer": "7", **changed})
    assert said in str(caught.value)
    assert len(caught.value.faults) == 1


def test_candidates_may_differ_in_case_alone():
    assert Problem(id="1", prompt="?", answer="us", candidates=("us", "US")).answer == "us"


def test_a_task_without_problems_or_with_two_of_one_id_is_refused():
    problem = Problem(id="1", prompt="?", answer="7")
    with pytest.raises(TaskError, match="no problems"):
        Task(name="t", problems=())
    with pytest.raises(TaskError, match="problem '1'"):
        Task(name="t", problems=(problem, problem))


def test_the_digest_is_of_the_problems_and_not_of_the_name():
    base = task_of([1, 2])
    assert base.digest == task_of([1, 2], name="other").digest
    assert (
        len({base.digest, task_of([1, 3]).digest, task_of([2, 1]).digest, task_of([1]).digest}) == 4
    )
    assert len(base.digest) == 64


def test_the_kind_says_whether_problems_are_choices():
    choice = Problem(id="c", prompt="?", answer="7", candidates=("7", "8"))
    opened = Problem(id="o", prompt="?", answer="7")
    kinds = [Task(name="t", problems=p).kind for p in ((choice,), (opened,), (choice, opened))]
    assert kinds == ["choice", "open", "mixed"]


def test_a_subset_has_the_share_of_every_difficulty_within_one():
    rng = random.Random(0)
    for trial in range(30):
        difficulties = rng.choices([None, 1, 2, "hard"], weights=[1, 5, 3, 2], k=rng.randint(8, 90))
        task = task_of(difficulties)
        n = rng.randint(1, len(task))
        drawn = Counter(problem.difficulty for problem in task.subset(n, seed=trial))
        for difficulty, count in Counter(difficulties).items():
            assert abs(drawn[difficulty] - n * count / len(task)) <= 1


def test_a_larger_subset_holds_every_smaller_one_of_its_seed():
    task = task_of([place % 3 for place in range(40)])
    held: set[str] = set()
    for n in range(1, 41):
        ids = {problem.id for problem in task.subset(n, seed=5)}
        assert len(ids) == n
        assert held < ids
        held = ids


def test_a_subset_depends_on_seed_and_ids_but_not_on_the_order_of_the_file():
    task = task_of([place % 3 for place in range(40)])
    turned = Task(name="t", problems=task.problems[::-1])
    ids = [{p.id for p in each.subset(10, seed=s)} for each in (task, turned) for s in (0, 1)]
    assert ids[0] == ids[2]
    assert ids[0] != ids[1]
    order = [int(problem.id[1:]) for problem in task.subset(10, seed=0)]
    assert order == sorted(order)


def test_every_problem_is_equally_likely_to_be_drawn():
    task = task_of([None] * 20)
    counts = Counter(p.id for seed in range(2000) for p in task.subset(5, seed=seed))
    # Binomial(2000, 1/4): mean 500, standard deviation 19.4; five of them either way.
    assert all(400 < counts[problem.id] < 600 for problem in task)


def test_a_continuous_difficulty_is_stratified_by_tenths():
    rng = random.Random(3)
    values = [rng.random() for _ in range(200)]
    drawn = [values[int(problem.id[1:])] for problem in task_of(values).subset(20, seed=0)]
    tenths = sorted(values)[20::20]
    filled = Counter(sum(value >= edge for edge in tenths) for value in drawn)
    assert filled == dict.fromkeys(range(10), 2)


def test_the_parts_of_a_split_are_the_task_and_share_nothing():
    task = task_of([place % 4 for place in range(50)])
    parts = task.split([0.5, 0.3, 0.2], seed=1)
    assert [len(part) for part in parts] == [25, 15, 10]
    assert [part.name for part in parts] == ["t-part1", "t-part2", "t-part3"]
    assert sorted(p.id for part in parts for p in part) == sorted(p.id for p in task)
    for part in parts:
        counts = Counter(problem.difficulty for problem in part)
        assert max(counts.values()) - min(counts.values()) <= 2
    assert [p.digest for p in task.split([0.5, 0.3, 0.2], seed=1)] == [p.digest for p in parts]
    assert parts[0].digest != task.split([0.5, 0.3, 0.2], seed=2)[0].digest


@pytest.mark.parametrize(
    "fractions", [[], [0.5, 0.4], [1.5, -0.5], [0.0, 1.0], [float("nan"), 1.0]]
)
def test_fractions_that_do_not_make_a_whole_are_refused(fractions):
    with pytest.raises(TaskError, match="together they must be 1"):
        task_of([1, 2, 3]).split(fractions, seed=0)


def test_more_problems_or_parts_than_there_are_cannot_be_had():
    task = task_of([1, 2, 3])
    for n in (0, 4, -1):
        with pytest.raises(TaskError, match="1 to 3"):
            task.subset(n, seed=0)
    with pytest.raises(TaskError, match="too few"):
        task.split([0.9, 0.05, 0.05], seed=0)
