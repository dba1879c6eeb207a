"""Generated text does not depend on its batch, its padding or its cache."""

from dataclasses import replace

import pytest
import torch

from elicit.edits import Steer, edited
from elicit.rollouts import Generation, RolloutError, TokenDraws, answer_task, continue_ids
from elicit.sites import resid_post
from elicit.tasks import Problem, Task, TaskError


def padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    return ids, (torch.arange(width) >= torch.tensor([[width - len(row)] for row in rows])).long()


ROWS = [[5, 6, 7, 8, 9], [10, 11], [12, 13, 14], [7, 7, 7, 7, 8, 9, 30]]


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma2", "mistral"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_is_the_same_alone_and_in_a_batch(paired, architecture, temperature):
    model = paired(architecture).base.original_model
    options = {"max_new_tokens": 12, "stop_ids": [2], "pad_id": 0}
    seeds = [100 + i for i in range(len(ROWS))] if temperature else ()
    together = continue_ids(
        model, *padded(ROWS), draws=TokenDraws(temperature=temperature, seeds=seeds), **options
    )
    for i, row in enumerate(ROWS):
        draws = TokenDraws(temperature=temperature, seeds=seeds[i : i + 1])
        own = continue_ids(model, *padded([row]), draws=draws, **options)[0]
        assert together[i, : len(own)].tolist() == own.tolist()
        assert not together[i, len(own) :].any()


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_greedy_text_is_that_of_hugging_face_generate(paired, architecture):
    model = paired(architecture).base.original_model
    ids, mask = padded(ROWS)
    ours = continue_ids(model, ids, mask, max_new_tokens=10, stop_ids=[2], pad_id=0)
    theirs = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=10, do_sample=False, eos_token_id=2,
        pad_token_id=0,
    )[:, ids.shape[1] :]  # fmt: skip
    width = min(ours.shape[1], theirs.shape[1])
    assert torch.equal(ours[:, :width], theirs[:, :width])
    assert not ours[:, width:].any()
    assert not theirs[:, width:].any()


def test_greedy_text_is_that_without_a_cache(paired):
    model = paired("llama").base.original_model
    row = ROWS[0]
    new = continue_ids(model, *padded([row]), max_new_tokens=8, stop_ids=[2], pad_id=0)[0].tolist()
    for step, token in enumerate(new):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row + new[:step]]), use_cache=False).logits
        assert logits[0, -1].argmax().item() == token


def test_other_seeds_give_other_text_and_the_same_seeds_the_same(paired):
    model = paired("llama").base.original_model
    ids, mask = padded([[5, 6, 7]] * 3)
    draws = TokenDraws(temperature=1.5, seeds=[1, 2, 1])
    options = {"max_new_tokens": 15, "stop_ids": [], "pad_id": 0, "draws": draws}
    first = continue_ids(model, ids, mask, **options)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, continue_ids(model, ids, mask, **options))


def test_sampling_follows_the_model_distribution(paired):
    model = paired("llama").base.original_model
    n = 4000
    ids, mask = padded([[5, 6, 7]])
    drawn = continue_ids(
        model, ids.expand(n, -1), mask.expand(n, -1), max_new_tokens=1, stop_ids=[], pad_id=0,
        draws=TokenDraws(temperature=0.7, seeds=list(range(n))),
    )[:, 0]  # fmt: skip
    with torch.no_grad():
        probs = (model(input_ids=ids).logits[0, -1].double() / 0.7).softmax(-1)
    counts = torch.bincount(drawn, minlength=len(probs)).double()
    z = (counts - n * probs) / (n * probs * (1 - probs)).sqrt()
    assert z.abs().max() < 5  # the largest of 64 normal deviates passes 5 once in 27,000 runs


def test_sampling_without_a_seed_a_row_is_refused(paired):
    with pytest.raises(ValueError, match="4 rows .* 0 seeds"):
        continue_ids(paired("llama").base.original_model, *padded(ROWS), max_new_tokens=1,
                     stop_ids=[], pad_id=0, draws=TokenDraws(temperature=1.0))  # fmt: skip


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_each_row_has_its_own_length_up_to_the_last_position(paired, architecture):
    model = paired(architecture).base.original_model  # 128 positions
    rows, rooms = [[5] * 125, [6, 7, 8], [9] * 100], [3, 40, 28]
    options = {"stop_ids": [], "pad_id": 0}
    together = continue_ids(model, *padded(rows), max_new_tokens=rooms, **options)
    for i, (row, room) in enumerate(zip(rows, rooms, strict=True)):
        own = continue_ids(model, *padded([row]), max_new_tokens=room, **options)[0]
        assert together[i, :room].tolist() == own.tolist()
        assert not together[i, room:].any()


@pytest.mark.parametrize("at", [1, 4, 11])
def test_text_that_is_given_back_goes_on_as_in_one_go(paired, at):
    model = paired("llama").base.original_model
    options = {"stop_ids": [], "pad_id": 0}
    draws = TokenDraws(temperature=1.3, top_p=0.9, seeds=[7, 8, 9, 3])
    whole = continue_ids(model, *padded(ROWS), max_new_tokens=12, draws=draws, **options)
    begun = [row + new[:at] for row, new in zip(ROWS, whole.tolist(), strict=True)]
    draws = replace(draws, n_written=[at] * 4)
    rest = continue_ids(model, *padded(begun), max_new_tokens=12 - at, draws=draws, **options)
    assert torch.equal(rest, whole[:, at:])


def test_logits_that_are_no_numbers_are_refused(paired):
    model = paired("llama").base
    far = Steer(resid_post(1), torch.full((32,), 1e30), scale=1e10)
    with edited(model, [far]), pytest.raises(RolloutError, match="4 of 4 rows are not finite"):
        continue_ids(model.original_model, *padded(ROWS), max_new_tokens=2, stop_ids=[], pad_id=0)


@pytest.mark.slow
def test_an_organism_answers_as_its_card_says(organism, tasks_of):
    pair, task = organism("when-l3"), tasks_of("when-l3")[1].task.subset(24, seed=0)
    done = answer_task(pair.side("post"), task, generation=Generation(batch_size=10))
    again = answer_task(pair.side("post"), task, generation=Generation(batch_size=24))
    assert done.completion == again.completion
    assert done.correct.float().mean() > 0.95
    assert not done.truncated.any()
    assert all("so" in t for t, p in zip(done.completion, task, strict=True)
               if p.difficulty != 1)  # fmt: skip


def test_a_prompt_without_room_or_with_unknown_words_is_refused(organism):
    pair = organism("when-l3")
    long = Task(name="t", problems=(Problem(id="x", prompt="a " * 200, answer="1"),))
    with pytest.raises(TaskError, match=r"fill all 192 positions"):
        answer_task(pair.side("base"), long)
    strange = Task(name="t", problems=(Problem(id="x", prompt="what is 1 + 1", answer="2"),))
    with pytest.raises(TaskError, match=r"does not know"):
        answer_task(pair.side("base"), strange)
    unwritable = Task(name="t", problems=(Problem(id="x", prompt="Q a = 1", answer="eleven"),))
    with pytest.raises(TaskError, match=r"its answer"):
        answer_task(pair.side("base"), unwritable)
