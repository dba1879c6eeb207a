"""Generated text does not depend on its batch, its padding or its cache."""

import pytest
import torch

from elicit.rollouts import _batches, answer_task, continue_ids
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
    options = {"max_new_tokens": 12, "stop_ids": [2], "pad_id": 0, "temperature": temperature}
    seeds = [100 + i for i in range(len(ROWS))] if temperature else ()
    together = continue_ids(model, *padded(ROWS), seeds=seeds, **options)
    for i, row in enumerate(ROWS):
        own = continue_ids(model, *padded([row]), seeds=seeds[i : i + 1], **options)[0]
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
    options = {"max_new_tokens": 15, "stop_ids": [], "pad_id": 0, "temperature": 1.5}
    first = continue_ids(model, ids, mask, seeds=[1, 2, 1], **options)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[1])
    assert torch.equal(first, continue_ids(model, ids, mask, seeds=[1, 2, 1], **options))


def test_sampling_follows_the_model_distribution(paired):
    model = paired("llama").base.original_model
    n = 4000
    ids, mask = padded([[5, 6, 7]])
    drawn = continue_ids(
        model, ids.expand(n, -1), mask.expand(n, -1), max_new_tokens=1, stop_ids=[], pad_id=0,
        temperature=0.7, seeds=list(range(n)),
    )[:, 0]  # fmt: skip
    with torch.no_grad():
        probs = (model(input_ids=ids).logits[0, -1].double() / 0.7).softmax(-1)
    counts = torch.bincount(drawn, minlength=len(probs)).double()
    z = (counts - n * probs) / (n * probs * (1 - probs)).sqrt()
    assert z.abs().max() < 5  # the largest of 64 normal deviates passes 5 once in 27,000 runs


def test_sampling_without_a_seed_a_row_is_refused(paired):
    with pytest.raises(ValueError, match="4 rows .* 0 seeds"):
        continue_ids(paired("llama").base.original_model, *padded(ROWS), max_new_tokens=1,
                     stop_ids=[], pad_id=0, temperature=1.0)  # fmt: skip


def test_rows_near_the_last_position_share_a_batch_with_their_like_only():
    batches = _batches([3, 9, 5, 9, 8], limit=10, max_new_tokens=4, batch_size=10)
    assert batches == [(4, [0, 2]), (2, [4]), (1, [1, 3])]


def test_an_organism_answers_as_its_card_says(organism, tasks_of):
    pair, (_, problems) = organism("when-l3"), tasks_of("when-l3")
    done = answer_task(pair.post, pair.alignment, problems.task, stop_ids=[2], batch_size=16)
    again = answer_task(pair.post, pair.alignment, problems.task, stop_ids=[2], batch_size=60)
    assert done.completion == again.completion
    assert done.correct.float().mean() > 0.95
    assert not done.truncated.any()
    assert all("so" in t for t, p in zip(done.completion, problems.task, strict=True)
               if p.difficulty != 1)  # fmt: skip


def test_a_prompt_without_room_or_with_unknown_words_is_refused(organism):
    pair = organism("when-l3")
    long = Task(name="t", problems=(Problem(id="x", prompt="a " * 200, answer="1"),))
    with pytest.raises(TaskError, match=r"fill all 192 positions"):
        answer_task(pair.base, pair.alignment, long, stop_ids=[2])
    strange = Task(name="t", problems=(Problem(id="x", prompt="what is 1 + 1", answer="2"),))
    with pytest.raises(TaskError, match=r"does not know"):
        answer_task(pair.base, pair.alignment, strange, stop_ids=[2])
    unwritable = Task(name="t", problems=(Problem(id="x", prompt="Q a = 1", answer="eleven"),))
    with pytest.raises(TaskError, match=r"its answer"):
        answer_task(pair.base, pair.alignment, unwritable, stop_ids=[2])
