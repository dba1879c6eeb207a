"""A row's text is its own: whatever the batch, in one go or in pieces, computed or read back."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from elicit.edits import Steer, edited, generated, prompt
from elicit.results import RunDirectory, load_result
from elicit.rollouts import extend, rollouts
from elicit.rollouts.drawing import draw, stream_key, uniforms
from elicit.sites import resid_post
from elicit.tasks import Problem, Task, check
from tests.rollouts.made import STOPS, same, task_of

VECTOR = 3 * torch.randn(32, generator=torch.Generator().manual_seed(0))
GENERATED = Steer(resid_post(1), VECTOR, where=generated())
PROMPT = Steer(resid_post(1), VECTOR, where=prompt())


def sampled(pair, task=None, **options):
    options = {"stop_ids": STOPS, "n_samples": 3, "max_new_tokens": 20, **options}
    return rollouts(pair.base, pair.alignment, task or task_of(), **options)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2", "mistral"])
def test_text_does_not_depend_on_the_batch(paired, architecture):
    pair = paired(architecture)
    whole = sampled(pair)
    for batch_size in (1, 4, 7):
        assert same(sampled(pair, batch_size=batch_size), whole)


def test_text_does_not_depend_on_the_other_problems_or_samples(paired):
    pair, task = paired("llama"), task_of()
    whole = sampled(pair)
    turned = sampled(pair, Task(name="t", problems=task.problems[::-1][:3]), n_samples=2)
    for problem in turned.problem:
        few, many = turned.rows_of(problem), whole.rows_of(problem)
        assert [turned.ids(row) for row in few] == [whole.ids(row) for row in many[:2]]


def test_rows_differ_and_other_seeds_give_other_text(paired):
    pair = paired("llama")
    whole = sampled(pair, stop_ids=(), max_new_tokens=12)
    assert len({tuple(whole.ids(row)) for row in range(len(whole))}) == len(whole)
    assert not same(whole, sampled(pair, stop_ids=(), max_new_tokens=12, seed=1))


def test_the_rows_are_those_that_were_asked_for(paired):
    pair, task = paired("llama"), task_of()
    found = sampled(pair)
    assert found.place.tolist() == [i for i in range(5) for _ in range(3)]
    assert found.sample.tolist() == [0, 1, 2] * 5
    assert found.rows_of("p1") == (3, 4, 5)
    for row in range(len(found)):
        ids, problem = found.ids(row), task.problems[int(found.place[row])]
        assert found.prompt_ids(row) == pair.alignment.plain(problem.prompt)
        assert not set(ids[:-1]) & set(STOPS)
        assert found.truncated[row] == (ids[-1] not in STOPS)
        assert found.truncated[row] == (len(ids) == 20) or ids[-1] in STOPS
        assert found.text[row] == pair.tokenizer.decode(ids, skip_special_tokens=True)
        graded = check(found.text[row], problem)
        assert (found.extracted[row], found.correct[row]) == (graded.extracted, graded.correct)
    assert found.truncated.any()
    assert not found.truncated.all()


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_p": 0.8}])
def test_a_short_beginning_gone_on_with_is_one_go(paired, architecture, options):
    pair, task = paired(architecture), task_of()
    whole = sampled(pair, **options)
    begun = sampled(pair, max_new_tokens=5, **options)
    rows = [14, 3, 0, 7, 8]
    done = extend(pair.base, pair.alignment, task, begun, rows, max_new_tokens=20, batch_size=2)
    assert same(done, whole.select(rows))
    assert torch.equal(done.correct, whole.select(rows).correct)
    assert torch.equal(done.truncated, whole.select(rows).truncated)
    twice = extend(pair.base, pair.alignment, task, begun, rows, max_new_tokens=9)
    twice = extend(pair.base, pair.alignment, task, twice, range(5), max_new_tokens=20)
    assert same(twice, done)


@pytest.mark.parametrize("edit", [GENERATED, PROMPT])
def test_a_beginning_under_edits_is_text_and_no_prompt(paired, edit):
    pair, task = paired("llama"), task_of()
    plain = sampled(pair)
    with edited(pair.base, [edit]):
        whole = sampled(pair)
        begun = sampled(pair, max_new_tokens=5)
        done = extend(pair.base, pair.alignment, task, begun, range(15), max_new_tokens=20)
        again = sampled(pair)
    assert same(done, whole)
    assert same(again, whole)
    assert not same(whole, plain)


def test_a_forced_beginning_that_the_row_wrote_itself_changes_nothing(paired):
    pair = paired("llama")
    with edited(pair.base, [GENERATED]):
        whole = sampled(pair, stop_ids=(), n_samples=1)
        own = {problem: whole.ids(i)[: 2 + i] for i, problem in enumerate(whole.problem)}
        forced = sampled(pair, stop_ids=(), n_samples=1, prefixes=own)
    assert same(forced, whole)
    assert forced.n_forced.tolist() == [2, 3, 4, 5, 6]


def test_a_forced_beginning_is_read_and_graded(paired):
    pair, task = paired("llama"), task_of(2)
    word = pair.alignment.plain("two")[-1]
    found = sampled(pair, task, prefixes={"p1": [word, word]}, stop_ids=(), max_new_tokens=3)
    assert all(found.ids(row)[:2] == [word, word] for row in found.rows_of("p1"))
    assert all(found.text[row].startswith("two two") for row in found.rows_of("p1"))
    assert found.n_tokens.unique().tolist() == [3]


def test_a_prompt_near_the_last_position_writes_what_is_left(paired):
    pair = paired("gpt2")  # 128 positions
    long = Problem(id="long", prompt=" ".join(["red"] * 120), answer="two")
    task = Task(name="t", problems=(*task_of(2).problems, long))
    found = sampled(pair, task, stop_ids=())
    room = 128 - len(pair.alignment.plain(long.prompt))
    assert found.n_tokens.tolist() == [20] * 6 + [room] * 3
    assert found.truncated.all()
    alone = sampled(pair, Task(name="t", problems=(long,)), stop_ids=())
    assert [alone.ids(i) for i in range(3)] == [found.ids(i) for i in (6, 7, 8)]
    more = extend(pair.base, pair.alignment, task, found, [0, 6], max_new_tokens=30)
    assert more.n_tokens.tolist() == [30, room]


def test_the_chat_template_makes_other_prompts(paired, written):
    from elicit.pair import load_pair
    from tests.checkpoints import CHAT_TEMPLATE

    pair = load_pair(
        written("llama", seed=1), written("llama", seed=2, chat_template=CHAT_TEMPLATE)
    )
    found = sampled(pair, task_of(2), templated=True)
    assert found.prompt_ids(0) == pair.alignment.templated(task_of(2).problems[0].prompt)
    assert found.sampling.templated


def test_a_saved_rollout_is_read_back_as_it_was(paired, tmp_path):
    found = sampled(paired("llama"))
    again = load_result(found.save(tmp_path / "r"))
    assert same(found, again)
    assert again.sampling == found.sampling
    assert again.extracted == found.extracted
    assert len(found.to_frame()) == len(found)


# --- drawing ---------------------------------------------------------------------------------------


def test_the_nucleus_holds_the_fewest_tokens_that_reach_its_mass():
    probs = torch.tensor([0.1, 0.4, 0.2, 0.3], dtype=torch.float64)
    uniform = (torch.arange(7000, dtype=torch.float64) + 0.5) / 7000
    options = {"temperature": 1.0, "uniform": uniform}
    logits = probs.log().expand(7000, -1)
    drawn = draw(logits, top_p=0.69, **options)
    assert torch.bincount(drawn, minlength=4).tolist() == [0, 4000, 0, 3000]
    drawn = draw(logits, top_p=0.71, **options)
    expected = 7000 * probs / 0.9
    counts = torch.bincount(drawn, minlength=4)
    assert counts[0] == 0
    assert (counts[1:] - expected[1:]).abs().max() <= 1
    assert set(draw(logits, top_p=1e-9, **options).tolist()) == {1}


def test_temperature_is_the_power_of_the_probabilities():
    probs = torch.tensor([0.2, 0.8], dtype=torch.float64)
    uniform = (torch.arange(1700, dtype=torch.float64) + 0.5) / 1700
    drawn = draw(probs.log().expand(1700, -1), temperature=0.5, top_p=1.0, uniform=uniform)
    assert (drawn == 0).sum() == 100  # 0.2^2 : 0.8^2 is 1 : 16
    tiny = draw(probs.log().expand(1700, -1), temperature=1e-310, top_p=1.0, uniform=uniform)
    assert (tiny == 1).all()


def test_no_token_without_probability_is_ever_drawn():
    logits = torch.tensor([[0.0, 0.1, 0.2, -torch.inf]])
    for value in (0.0, 1 - 2**-53):
        uniform = torch.tensor([value], dtype=torch.float64)
        assert draw(logits, temperature=1.0, top_p=1.0, uniform=uniform).item() != 3


def test_a_stream_is_fixed_by_seed_problem_and_sample():
    # Worked out once; another value here means that no earlier text can be repeated.
    assert stream_key(0, "p1", 2) == 202591205070283795598308313154793385123
    keys = {
        stream_key(seed, name, i) for seed in (0, 1) for name in ("1", "11") for i in (0, 1, 11)
    }
    assert len(keys) == 12
    whole = uniforms([5], [0], 10)
    assert torch.equal(uniforms([5], [4], 6), whole[:, 4:])


# --- kept on disk ----------------------------------------------------------------------------------


def opened(path):
    return RunDirectory.open(path, kind="rollouts", arguments={}, identity={})


class Killed(Exception):
    pass


class Stop:
    """Progress that dies in the middle."""

    def __init__(self, after: int):
        self.left = after

    def start(self, total, what):
        pass

    def advance(self, n=1, what=None):
        self.left -= n
        if self.left < 0:
            raise Killed

    def stop(self):
        pass


def no_calls(monkeypatch, model):
    def refuse(*_args, **_options):
        raise AssertionError("the model was called")

    monkeypatch.setattr(model.original_model, "forward", refuse)


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in (folder / "cells").iterdir()}


def test_a_second_run_reads_all_and_calls_no_model(paired, tmp_path, monkeypatch):
    pair = paired("llama")
    with opened(tmp_path / "a") as run:
        first = sampled(pair, cells=run, batch_size=4)
        assert (run.n_computed, run.n_read) == (4, 0)
    no_calls(monkeypatch, pair.base)
    with opened(tmp_path / "a") as run:
        again = sampled(pair, cells=run, batch_size=4)
        assert (run.n_computed, run.n_read) == (0, 4)
    assert same(first, again)
    first.save(tmp_path / "x")
    again.save(tmp_path / "y")
    for name in ("values.safetensors", "result.json"):
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()


@contextmanager
def steered(model):
    """Two blocks of edits, one in the other."""
    with edited(model, [PROMPT]), edited(model, [GENERATED]):
        yield


def test_a_killed_run_ends_with_the_same_bytes_also_under_edits(paired, tmp_path, monkeypatch):
    pair = paired("llama")
    with steered(pair.base), opened(tmp_path / "a") as run:
        straight = sampled(pair, cells=run, batch_size=4)
    with pytest.raises(Killed), steered(pair.base), opened(tmp_path / "b") as run:
        sampled(pair, cells=run, batch_size=4, progress=Stop(after=8))
    with steered(pair.base), opened(tmp_path / "b") as run:
        resumed = sampled(pair, cells=run, batch_size=4)
        assert (run.n_computed, run.n_read) == (1, 3)
    assert same(straight, resumed)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    # All is read back, so no edit is made in this process; the blocks must not complain.
    no_calls(monkeypatch, pair.base)
    with steered(pair.base), opened(tmp_path / "b") as run:
        assert same(sampled(pair, cells=run, batch_size=4), straight)


def test_another_model_edit_seed_or_length_is_another_cell(paired, tmp_path):
    pair = paired("llama")
    other = replace(pair, base=pair.post)
    with opened(tmp_path / "a") as run:
        found = [
            sampled(pair, cells=run),
            sampled(other, cells=run),
            sampled(pair, cells=run, seed=1),
        ]
        found.append(sampled(pair, cells=run, max_new_tokens=19))
        for vector in (VECTOR, -VECTOR):
            with edited(pair.base, [Steer(resid_post(1), vector)]):
                found.append(sampled(pair, cells=run))
        assert (run.n_computed, run.n_read) == (6, 0)
    assert len({one.text for one in found}) == 6
