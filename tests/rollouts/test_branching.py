"""Branches: the first is the greedy text, each is what the model writes after a forced token."""

from dataclasses import replace

import pytest
import torch

from elicit.edits import edited
from elicit.rollouts import Generation, RolloutError, branch_rollouts, rollouts
from elicit.runs import Execution, RunDirectory
from tests.rollouts.made import GENERATED, same, task_of

GREEDY = Generation(stop_ids=(2, 5), max_new_tokens=8, batch_size=7)


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_one_branch_is_the_greedy_text(paired, architecture):
    side = paired(architecture).side("base")
    one = branch_rollouts(side, task_of(), branches=1, generation=GREEDY).rollouts
    assert same(one, rollouts(side, task_of(), generation=GREEDY))


def first_probs(side, place: int) -> torch.Tensor:
    ids = side.alignment.prompt(task_of().problems[place].prompt, templated=False)
    with torch.no_grad():
        return side.bridge.original_model(torch.tensor([ids])).logits[0, -1].softmax(-1)


def test_each_branch_is_the_greedy_text_after_its_first_token(paired):
    side = paired("llama").side("base")
    found = branch_rollouts(side, task_of(), branches=6, generation=GREEDY)
    rows = found.rollouts
    assert rows.sample.tolist() == list(range(6)) * len(task_of())
    for rank in range(6):
        own = rows.select([row for row in range(len(rows)) if int(rows.sample[row]) == rank])
        first = {id_: own.ids(row)[:1] for row, id_ in enumerate(own.problem)}
        going = [row for row in range(len(own)) if own.ids(row)[0] not in (2, 5)]
        first = {own.problem[row]: first[own.problem[row]] for row in going}
        again = rollouts(side, task_of(), generation=GREEDY, prefixes=first)
        assert [again.ids(row) for row in going] == [own.ids(row) for row in going]
        for place in range(len(task_of())):
            probs = first_probs(side, place)
            assert own.ids(place)[0] == int(probs.argsort(descending=True)[rank])
            assert found.first_prob[place * 6 + rank] == pytest.approx(
                float(probs[own.ids(place)[0]]), rel=1e-4
            )


def test_margins_are_how_far_the_two_best_tokens_are_apart(paired):
    side = paired("llama").side("base")
    found = branch_rollouts(side, task_of(), branches=3, generation=GREEDY)
    row = 4
    prompt, ids = found.rollouts.prompt_ids(row), found.rollouts.ids(row)
    with torch.no_grad():
        logits = side.bridge.original_model(torch.tensor([prompt + ids])).logits[0]
    two = logits.softmax(-1).topk(2).values[len(prompt) - 1 : -1]
    assert len(ids) > 2
    assert torch.allclose(found.margins(row).float(), two[:, 0] - two[:, 1], atol=1e-5)


def test_improbable_first_tokens_are_left_out_and_nothing_else_changes(paired):
    side = paired("llama").side("base")
    every = branch_rollouts(side, task_of(), branches=8, generation=GREEDY)
    some = branch_rollouts(side, task_of(), branches=8, min_first=0.3, generation=GREEDY)
    best = every.first_prob.view(-1, 8)[:, :1]
    kept = (every.first_prob.view(-1, 8) >= 0.3 * best).flatten().nonzero()[:, 0].tolist()
    assert len(task_of()) < len(kept) < len(every.rollouts)
    assert same(some.rollouts, every.rollouts.select(kept))
    assert some.first_prob.tolist() == pytest.approx(every.first_prob[kept].tolist())
    only = branch_rollouts(side, task_of(), branches=8, min_first=1.0, generation=GREEDY)
    assert same(only.rollouts, rollouts(side, task_of(), generation=GREEDY))


@pytest.mark.slow(checked=True)
def test_branches_do_not_depend_on_the_batch_and_follow_edits(paired, tmp_path):
    side = paired("llama").side("base")
    with edited(side.bridge, [GENERATED]):
        found = [
            branch_rollouts(
                side, task_of(), branches=5, generation=replace(GREEDY, batch_size=size)
            )
            for size in (1, 3, 64)
        ]
    assert all(same(one.rollouts, found[0].rollouts) for one in found[1:])
    plain = branch_rollouts(side, task_of(), branches=5, generation=GREEDY)
    assert not same(plain.rollouts, found[0].rollouts)
    # The first token follows the prompt alone, which an edit of written tokens leaves as it is.
    assert plain.first_prob.tolist() == pytest.approx(found[0].first_prob.tolist(), abs=1e-5)
    with RunDirectory.open(tmp_path / "run", kind="rollouts", arguments={}, identity={}) as run:
        kept = {"generation": GREEDY, "execution": Execution(checkpoint=run)}
        first = branch_rollouts(side, task_of(), branches=5, **kept)
        n = run.n_computed
        again = branch_rollouts(side, task_of(), branches=5, **kept)
        assert run.n_computed == n > 0
        branch_rollouts(side, task_of(), branches=5, min_first=0.5, **kept)
        assert run.n_computed == 2 * n
    assert same(first.rollouts, plain.rollouts)
    assert torch.equal(again.margin, first.margin)


def test_what_is_no_branch_is_refused(paired):
    side = paired("llama").side("base")
    with pytest.raises(RolloutError, match="writes greedily after its first"):
        branch_rollouts(side, task_of(), branches=2, generation=Generation(temperature=1.0))
    for options in ({"branches": 0}, {"branches": 65}, {"branches": 2, "min_first": 1.5}):
        with pytest.raises(RolloutError, match="each branch begins"):
            branch_rollouts(side, task_of(), generation=GREEDY, **options)
