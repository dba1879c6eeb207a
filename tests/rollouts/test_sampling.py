"""A row's text is its own: whatever the batch, in one go or in pieces, computed or read back."""

import pytest
import torch

from elicit.edits import edited
from elicit.results import load_result
from elicit.rollouts import RolloutError, TokenDraws, continue_ids, resume
from elicit.rollouts.streams import draw
from elicit.tasks import Problem, Task, check
from elicit.weights import replaced
from tests.pretended import pretend, waits
from tests.rollouts.made import GENERATED, PROMPT, STOPS, same, sampled, task_of


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2", "mistral"])
def test_text_does_not_depend_on_the_batch(paired, architecture):
    pair = paired(architecture)
    whole = sampled(pair, n_samples=2, max_new_tokens=12)
    for batch_size in (1, 4):
        assert same(sampled(pair, n_samples=2, max_new_tokens=12, batch_size=batch_size), whole)


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
    done = resume(pair.side("base"), task, begun.select(rows), max_new_tokens=20, batch_size=2)
    assert same(done, whole.select(rows))
    assert torch.equal(done.correct, whole.select(rows).correct)
    assert torch.equal(done.truncated, whole.select(rows).truncated)
    twice = resume(pair.side("base"), task, begun.select(rows), max_new_tokens=9)
    twice = resume(pair.side("base"), task, twice.select(range(5)), max_new_tokens=20)
    assert same(twice, done)


@pytest.mark.parametrize("edit", [GENERATED, PROMPT])
def test_a_beginning_under_edits_is_text_and_no_prompt(paired, edit):
    pair, task = paired("llama"), task_of()
    plain = sampled(pair)
    with edited(pair.base, [edit]):
        whole = sampled(pair)
        begun = sampled(pair, max_new_tokens=5)
        done = resume(pair.side("base"), task, begun.select(range(15)), max_new_tokens=20)
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
    more = resume(pair.side("base"), task, found.select([0, 6]), max_new_tokens=30)
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


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_logits_that_say_nothing_are_refused_whatever_is_drawn(paired, top_p):
    model = paired("llama").base.original_model
    head = model.get_output_embeddings().weight
    draws = TokenDraws(temperature=1.0, top_p=top_p, seeds=[1])
    ids = torch.tensor([[5, 9, 12]])
    with (
        replaced({head: torch.full_like(head, torch.nan)}),
        pytest.raises(RolloutError, match="1 of 1 rows are not finite at new token 0"),
    ):
        continue_ids(
            *(model, ids, torch.ones_like(ids)), max_new_tokens=2, stop_ids=(), pad_id=0,
            draws=draws,
        )  # fmt: skip


def test_a_device_draws_from_the_nucleus_of_the_cpu_and_is_not_waited_for():
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    logits[:, 10:20] = logits[:, :1]  # some are equally probable
    options = {"temperature": 1.0, "top_p": 0.6}
    uniform = torch.linspace(0.05, 0.95, 6)
    there = pretend()[0]
    with waits() as counted:
        found = draw(logits.to(there), uniform=uniform.to(there), **options)
    assert not counted
    assert torch.equal(found.cpu(), draw(logits, uniform=uniform, **options))
