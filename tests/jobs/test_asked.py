"""The box of what was compared: sizes, problems and what both models say to them."""

from dataclasses import replace

import pytest

import elicit
from elicit import organisms
from elicit.jobs import COMMANDS, ExistsSpec
from elicit.jobs._asked import LONGEST, Asked, compared
from elicit.jobs._cued import behaviour_of
from elicit.runs import Execution
from elicit.tasks import load_task


@pytest.fixture(scope="module")
def pair():
    return elicit.load_pair("organism:rl")


def spec_of(**given):
    return COMMANDS["exists"].spec.from_options({"pair": "organism:rl", "out": "x", **given})


def test_a_text_with_the_users_pattern_is_not_said_to_reason():
    given = {"pair": None, "base": "a", "post": "b", "problems": "p", "out": "x"}
    cues = {"reasoning_cue": "Think. ", "direct_cue": "Say. "}
    task = load_task(organisms.resolve("rl").problems).subset(8, seed=0)
    for shown, name in (
        ("capital", "writes a match of “capital”"),
        (None, "reasons before it answers"),
    ):
        spec = ExistsSpec.from_options(given | cues | {"shown": shown})
        assert behaviour_of(spec, task).name == name


def test_both_models_answer_the_same_problems_and_the_toy_is_called_one(pair):
    task = load_task(organisms.resolve("rl").problems).subset(8, seed=0)
    asked = [Asked(name="problems", score="Right or wrong.", task=task)]
    box = compared(spec_of(), pair, asked, Execution())
    assert [model.role for model in box.models] == ["base", "post"]
    assert {model.size for model in box.models} == {"724,244 parameters"}
    assert box.planted == organisms.resolve("rl").truth["what"]
    (shown,) = box.tasks
    assert (shown.n, len(shown.examples)) == (8, 2)
    for example in shown.examples:
        (base, post) = example.said
        assert (base[0], post[0]) == ("base", "post")
        assert base[1].startswith("answer") and post[1].startswith("so"), "its trace is its habit"
        assert post[2] == "right" and example.answer in post[1]


def test_a_text_cut_earlier_than_it_was_graded_is_not_called_wrong(pair, monkeypatch):
    monkeypatch.setattr("elicit.jobs._asked.LONGEST", 3)
    task = load_task(organisms.resolve("rl").problems).subset(8, seed=0)
    asked = [Asked(name="problems", score="Right or wrong.", task=task)]
    box = compared(spec_of(max_new_tokens=LONGEST), pair, asked, Execution())
    assert {example.said[1][2] for example in box.tasks[0].examples} == {"cut here"}


def test_of_texts_that_no_score_needs_the_beginning_is_shown_unmarked(pair, monkeypatch):
    monkeypatch.setattr("elicit.jobs._asked.BEYOND", 2)
    task = load_task(organisms.resolve("rl").problems).subset(8, seed=0)
    asked = [Asked(name="problems", score="Log-probability.", graded=False, task=task)]
    box = compared(spec_of(), pair, asked, Execution())
    for example in box.tasks[0].examples:
        (_, _, base), (_, post, mark) = example.said
        assert base == mark == ""
        longest = 2 + max(len(pair.tokenizer.encode(e.answer)) for e in box.tasks[0].examples)
        assert post.endswith(" …"), "its thought is longer"
        assert (
            len(pair.tokenizer.encode(post.removesuffix(" …"), add_special_tokens=False)) <= longest
        )


def test_prompts_that_leave_no_room_are_shown_without_answers(pair):
    task = load_task(organisms.resolve("rl").problems).subset(2, seed=0)
    long = replace(
        task, problems=tuple(replace(p, prompt=f"{p.prompt} " * 200) for p in task.problems)
    )
    box = compared(spec_of(), pair, [Asked(name="problems", score="", task=long)], Execution())
    assert [example.said for example in box.tasks[0].examples] == [(), ()]
