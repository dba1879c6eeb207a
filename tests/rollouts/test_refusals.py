"""What cannot be sampled as asked is refused before the model is called, with what to do."""

from dataclasses import replace

import pytest
import torch

from elicit.edits import EditError, Patch, Steer, edited, generated, marked
from elicit.rollouts import RolloutError, dose_rollouts, resume
from elicit.sites import resid_post
from elicit.tasks import Problem, Task, TaskError
from tests.folded import folded
from tests.rollouts.made import DRAWN, STOPS, VECTOR, sampled, task_of

REFUSED = {
    "temperature is -1.0": {"temperature": -1.0},
    "temperature is nan": {"temperature": float("nan")},
    "temperature is inf": {"temperature": float("inf")},
    "top_p is 0.0": {"top_p": 0.0},
    "top_p is 1.1": {"top_p": 1.1},
    "n_samples is 0": {"n_samples": 0},
    "n_samples is 3 at temperature 0": {"temperature": 0.0},
    "max_new_tokens is 0": {"max_new_tokens": 0},
    "batch_size is 0": {"batch_size": 0},
    "stop_ids has 64": {"stop_ids": (64,)},
    "stop_ids has -1": {"stop_ids": (-1,)},
}


@pytest.fixture
def uncalled(paired, monkeypatch):
    """A pair whose base must not be called."""
    pair = paired("llama")

    def refuse(*_args, **_options):
        raise AssertionError("the model was called")

    monkeypatch.setattr(pair.base.original_model, "forward", refuse)
    return pair


@pytest.mark.parametrize("what", REFUSED)
def test_arguments_out_of_range(uncalled, what):
    with pytest.raises(RolloutError, match=what):
        sampled(uncalled, **REFUSED[what])


def test_prompts_without_room(uncalled):
    long = Problem(id="long", prompt=" ".join(["red"] * 127), answer="two")
    task = Task(name="t", problems=(*task_of().problems, long))
    with pytest.raises(TaskError, match=r"fill all 128 positions[\s\S]*long: 128 tokens"):
        sampled(uncalled, task)


@pytest.mark.parametrize(
    ("prefixes", "what"),
    [
        ({"p9": [7]}, "p9: no such problem"),
        ({"p1": [7] * 20}, "p1: 20 tokens, and a text has at most 20"),
        ({"p1": [7, STOPS[1]]}, "p1: it has the stop token"),
        ({"p1": [7, 64]}, "p1: it has the id 64"),
    ],
)
def test_beginnings_after_which_nothing_can_be_written(uncalled, prefixes, what):
    with pytest.raises(TaskError, match=what):
        sampled(uncalled, prefixes=prefixes)


MARKS = marked(torch.ones(15, 4, dtype=torch.bool))
ROW_BY_ROW = [
    Steer(resid_post(1), VECTOR, scale=torch.arange(1.0, 16.0)),
    Steer(resid_post(1), VECTOR.expand(15, 32)),
    Steer(resid_post(1), VECTOR, rows=(0,)),
    Patch(resid_post(1), torch.ones(15, 4, 32)),
    Steer(resid_post(1), VECTOR, where=MARKS),
]


@pytest.mark.parametrize("edit", ROW_BY_ROW, ids=str)
def test_edits_told_row_by_row(uncalled, edit):
    with (
        pytest.raises(RolloutError, match="differs from row to row"),
        edited(uncalled.base, [edit]),
        edited(uncalled.base, [Steer(resid_post(1), VECTOR)]),
    ):
        sampled(uncalled)


def test_prompt_lengths_told_row_by_row(uncalled):
    lengths = torch.tensor([2] * 15)
    with (
        pytest.raises(RolloutError, match="under prompt_lengths"),
        edited(uncalled.base, [Steer(resid_post(1), VECTOR)], prompt_lengths=lengths),
    ):
        sampled(uncalled)


def dosed(pair, edit=lambda s: [Steer(resid_post(1), VECTOR, scale=s)], **options):
    options = folded(options, **DRAWN, strengths=[0.0, 1.0], max_new_tokens=4)
    return dose_rollouts(pair.side("base"), task_of(), edit, **options)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"strengths": []}, "strengths is empty"),
        ({"strengths": [0.0, float("nan")]}, "must be finite"),
        ({"strengths": [1.0, 0.0, 1.0]}, "one of them twice"),
        ({"edit": lambda s: [Steer(resid_post(1), VECTOR)]}, "same at strengths"),
        ({"edit": lambda s: [Steer(resid_post(1), VECTOR, rows=(0,), scale=s)]}, "names rows"),
        ({"edit": lambda s: [Steer(resid_post(1), VECTOR, where=MARKS, scale=s)]}, "names rows"),
    ],
)
def test_doses_that_say_nothing(uncalled, options, what):
    with pytest.raises(RolloutError, match=what):
        dosed(uncalled, **options)


def test_an_edit_made_in_no_batch(paired):
    def late(strengths):
        return [Steer(resid_post(1), VECTOR, scale=strengths, where=generated(40))]

    with pytest.raises(EditError, match="never made in any batch"):
        dosed(paired("llama"), late, batch_size=3)


def test_texts_that_cannot_be_gone_on_with(paired):
    pair, task = paired("llama"), task_of()
    begun = sampled(pair, max_new_tokens=3)

    def more(rows=(0,), given=task, n=9, **options):
        return resume(pair.side("base"), given, begun.select(rows), max_new_tokens=n, **options)

    for rows, what in (((), "is empty"), ((15,), "has 15"), ((-1,), "has -1"), ((1, 1), "repeats")):
        with pytest.raises(RolloutError, match=what):
            more(rows)
    with pytest.raises(RolloutError, match="max_new_tokens is 3"):
        more(n=3)
    with pytest.raises(RolloutError, match="mixed up"):
        more(given=task_of(4))
    with pytest.raises(RolloutError, match="no strengths"):
        more(edits_at=lambda s: [Steer(resid_post(1), VECTOR, scale=s)])
    with pytest.raises(RolloutError, match="go on without them"):
        resume(pair.side("base"), task, dosed(pair).select([0]), max_new_tokens=9)


def test_rows_that_are_not_there(paired):
    found = sampled(paired("llama"), max_new_tokens=2)
    with pytest.raises(RolloutError, match="no problem 'p9'"):
        found.rows_of("p9")
    with pytest.raises(RolloutError, match="strength 1"):
        found.rows_of("p1", strength=1.0)


def test_lengths_that_disagree_with_the_tokens(paired):
    found = sampled(paired("llama"), max_new_tokens=2)
    with pytest.raises(RolloutError, match="add up to"):
        replace(found, written=found.written[1:])
