"""Sweeps: exact, cheap, and equal to the naive sweep."""

import pytest
import torch

from elicit.grafting import (
    GraftError,
    PartSweep,
    ResumeWarning,
    Score,
    facts,
    interval_calls,
    skills,
)
from elicit.runs import Execution
from elicit.tasks import Problem, Task
from elicit.weights import all_parts, grafted, layer_interval, parts_of, reverted
from tests import checkpoints

WORDS = checkpoints.WORDS


def small_task(n: int = 12) -> Task:
    """Choices of one and two tokens, so that rows and reads are of every form."""
    problems = []
    for i in range(n):
        words = [WORDS[(5 * i + j) % len(WORDS)] for j in range(3 + i % 3)]
        pool = [WORDS[(i + 3 * j) % len(WORDS)] for j in range(1, 5)]
        candidates = (pool[0], pool[1], f"{pool[2]} {pool[3]}")
        problems.append(
            Problem(id=f"p{i}", prompt=" ".join(words), answer=candidates[i % 3],
                    candidates=candidates)
        )  # fmt: skip
    return Task(name="small", problems=tuple(problems))


@pytest.mark.parametrize("architecture", checkpoints.ARCHITECTURES)
@pytest.mark.parametrize("direction", ["revert", "graft"])
def test_the_resumed_sweep_is_the_naive_one(paired, architecture, direction):
    pair = paired(architecture)
    score = Score(task=small_task(), how="forced", metric="log_prob")
    fast = PartSweep(pair=pair, score=score, execution=Execution(max_tokens=64))
    slow = PartSweep(pair=pair, score=score, execution=Execution(max_tokens=64), resume=False)
    parts = [
        *parts_of(pair, "layer"),
        *parts_of(pair, "attn"),
        *parts_of(pair, "mlp"),
        *parts_of(pair, "outside"),
    ]
    host = fast.evaluate(fast.host(direction))
    found = fast.sweep(parts, direction, host)
    assert fast.resume, "this architecture must be resumed, not fall back"
    assert torch.allclose(found, slow.sweep(parts, direction, host), atol=1e-6)
    assert not torch.allclose(found, host.expand_as(found), atol=1e-3)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma3_text"])
@pytest.mark.parametrize("direction", ["revert", "graft"])
def test_every_interval_is_that_of_the_naive_graft(paired, architecture, direction):
    pair = paired(architecture)
    score = Score(task=small_task(), how="forced", metric="log_prob")
    sweep = PartSweep(pair=pair, score=score)
    host = sweep.evaluate(sweep.host(direction))
    found = sweep.intervals(direction, host)
    assert len(found) == pair.n_layers * (pair.n_layers + 1) // 2
    move = reverted if direction == "revert" else grafted
    for (first, last), values in found.items():
        with move(pair, layer_interval(pair, first, last)) as model:
            assert torch.allclose(values, sweep.evaluate(model), atol=1e-6)


def test_all_parts_moved_are_the_other_model_bit_for_bit(paired):
    pair = paired("llama")
    sweep = PartSweep(pair=pair, score=Score(task=small_task(), metric="log_prob"))
    base, post = sweep.evaluate(pair.base), sweep.evaluate(pair.post)
    everything = [all_parts(pair)["all"]]
    assert torch.equal(sweep.sweep(everything, "graft", base)[0], post)
    assert torch.equal(sweep.sweep(everything, "revert", post)[0], base)


@pytest.mark.slow(checked=True)
@pytest.mark.parametrize("name", ["continued", "b-continued"])
def test_a_single_layer_sweep_costs_at_most_six_tenths_of_the_naive_one(organism, tasks_of, name):
    pair, (known, _) = organism(name), tasks_of(name)
    sweep = PartSweep(pair=pair, score=known)
    calls = []
    handles = [
        block.register_forward_hook(lambda *_: calls.append(1)) for block in pair.post.blocks
    ]
    try:
        host = sweep.evaluate(pair.post)
        del calls[:]
        sweep.sweep(parts_of(pair, "layer"), "revert", host)
    finally:
        for handle in handles:
            handle.remove()
    # Counted by hooks too, so that the book-keeping cannot flatter itself.
    assert len(calls) == sweep.cost.spent + sweep.cost.trunk
    assert sweep.cost.trunk == len(sweep.batches) * pair.n_layers
    assert sweep.cost.ratio <= 0.6


@pytest.mark.slow
def test_intervals_cost_less_than_half_of_the_naive_ones(organism, tasks_of):
    pair, (known, _) = organism("b-continued"), tasks_of("b-continued")
    sweep = PartSweep(pair=pair, score=known)
    sweep.intervals("graft", sweep.evaluate(pair.base))
    assert sweep.cost.ratio < 0.5


def test_an_untouched_part_is_not_run_and_has_no_effect(organism, tasks_of):
    pair, (known, _) = organism("shuffled-l3"), tasks_of("shuffled-l3")
    sweep = PartSweep(pair=pair, score=known)
    host = sweep.evaluate(pair.post)
    found = sweep.sweep(parts_of(pair, "layer"), "revert", host)
    for layer in (0, 1, 2, 4, 5):
        assert torch.equal(found[layer], host)
    assert not torch.equal(found[3], host)
    assert sweep.cost.naive == pair.n_layers * len(sweep.rows.batches(sweep.execution.max_tokens))


def test_a_model_that_cannot_be_resumed_is_run_whole_with_one_warning(paired, monkeypatch):
    pair = paired("llama")
    score = Score(task=small_task(), metric="log_prob")
    slow = PartSweep(pair=pair, score=score, execution=Execution(max_tokens=40), resume=False)
    layers = parts_of(pair, "layer")
    host = slow.evaluate(pair.post)
    expected = slow.sweep(layers, "revert", host)
    from elicit.grafting import _forward as module

    wrong = module.logits_at
    monkeypatch.setattr(module, "logits_at", lambda *a: wrong(*a) + 0.5 * torch.randn(1))
    sweep = PartSweep(pair=pair, score=score, execution=Execution(max_tokens=40))
    with pytest.warns(ResumeWarning) as caught:
        found = sweep.sweep(layers, "revert", host)
    assert len(caught) == 1
    assert torch.equal(found, expected)


def test_a_trunk_is_recorded_once_however_often_parts_move(organism, tasks_of):
    pair, (known, _) = organism("shuffled-l3"), tasks_of("shuffled-l3")
    sweep = PartSweep(pair=pair, score=known)
    host = sweep.evaluate(pair.post)
    layers = parts_of(pair, "layer")
    for _ in range(3):
        sweep.sweep(layers, "revert", host)
    assert sweep.cost.trunk == len(sweep.batches) * pair.n_layers
    poor = PartSweep(pair=pair, score=known, execution=Execution(memory=1))
    poor.sweep(layers, "revert", host)
    assert torch.equal(poor.sweep(layers, "revert", host), sweep.sweep(layers, "revert", host))
    assert poor.cost.trunk == 2 * sweep.cost.trunk


def test_every_part_together_is_run_from_the_first_layer_that_differs(organism, tasks_of):
    pair, (known, _) = organism("shuffled-l3"), tasks_of("shuffled-l3")
    sweep = PartSweep(pair=pair, score=known)
    base, post = sweep.evaluate(pair.base), sweep.evaluate(pair.post)
    moved = sweep.sweep([all_parts(pair)["all"]], "graft", base)[0]
    assert torch.equal(moved, post)
    assert sweep.cost.spent == len(sweep.batches) * (pair.n_layers - 3)


def test_only_the_columns_of_answers_are_unembedded(paired, monkeypatch):
    pair = paired("llama")
    sizes = []
    handle = pair.base.unembed.register_forward_hook(lambda _m, _a, out: sizes.append(out.shape))
    try:
        sweep = PartSweep(pair=pair, score=Score(task=small_task(), metric="log_prob"))
        sweep.evaluate(pair.base)
    finally:
        handle.remove()
    batch = sweep.batches[0]
    columns = len(batch.slot_pos.unique())
    assert columns < batch.ids.shape[1]
    assert max(shape[:-1].numel() for shape in sizes) <= len(batch.ids) * columns


def test_batches_do_not_change_a_value(paired):
    pair = paired("mistral")
    score = Score(task=small_task(), metric="log_prob")
    values = [
        PartSweep(pair=pair, score=score, execution=Execution(max_tokens=n)).evaluate(pair.base)
        for n in (1, 40, 8192)
    ]
    assert torch.allclose(values[0], values[1], atol=1e-6)
    assert torch.allclose(values[0], values[2], atol=1e-6)


def test_a_metric_that_a_task_cannot_give_is_refused(tasks_of):
    known, asked = tasks_of("rl")
    with pytest.raises(GraftError, match="log_prob"):
        Score(task=asked.task, how="generated", metric="log_prob")
    bare = Task(name="bare", problems=(Problem(id="a", prompt="b", answer="c"),))
    with pytest.raises(GraftError, match="bare"):
        Score(task=bare, how="forced", metric="probability")
    assert facts(bare).metric == "correct"
    assert facts(known.task).metric == "probability"
    assert skills(asked.task).how == "generated"


@pytest.mark.parametrize("changed", [[True] * 5, [False, True, False, True, False], [False] * 4])
def test_calls_of_intervals_are_counted_before_they_are_made(changed):
    n_layers, made = len(changed), 0
    moved = [layer for layer in range(n_layers) if changed[layer]]
    for first in moved:
        # One chain of donor layers from `first`, left after each changed layer for the host's.
        lasts = [last for last in moved if last >= first]
        made += lasts[-1] - first + 1 + sum(n_layers - last - 1 for last in lasts)
    assert interval_calls(changed) == made
    assert (made == 0) == (not any(changed))
