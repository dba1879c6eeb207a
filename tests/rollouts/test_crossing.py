"""Texts of two models: without a budget they are the host's, without a limit the donor's."""

import pytest
import torch

from elicit.edits import edited
from elicit.pair import ModelPair
from elicit.rollouts import Crossed, Generation, RolloutError, Takes, cross_rollouts, rollouts
from elicit.runs import Execution, RunDirectory
from tests.rollouts.made import GENERATED, same, task_of

GREEDY = Generation(stop_ids=(2, 5), max_new_tokens=8, batch_size=4)
EVERYWHERE = Takes(kind="jsd", budget=None)


def crossed(pair: ModelPair, *takes: Takes, host: str = "base", **options) -> Crossed:
    """One arm for each place to take tokens, the same for all problems."""
    donor = "post" if host == "base" else "base"
    task = task_of()
    return cross_rollouts(
        pair.side(host),  # pyright: ignore[reportArgumentType]
        pair.side(donor),
        task,
        [[each] * len(task) for each in takes],
        generation=GREEDY,
        **options,
    )


def alone(pair: ModelPair, side: str):
    return rollouts(pair.side(side), task_of(), generation=GREEDY)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("architecture", ["llama", "gemma2"])
def test_without_a_budget_it_is_the_host_and_without_a_limit_the_donor(paired, architecture):
    pair = paired(architecture)
    found = crossed(pair, Takes(kind="jsd", budget=0), EVERYWHERE)
    n = len(task_of())
    host, donor = (found.rollouts.select(range(i * n, (i + 1) * n)) for i in (0, 1))
    assert host.written.tolist() == alone(pair, "base").written.tolist()
    assert donor.written.tolist() == alone(pair, "post").written.tolist()
    assert host.written.tolist() != donor.written.tolist()
    assert not found.n_taken[0].any()


def test_two_equal_models_take_no_token(paired):
    side, task = paired("llama").side("base"), task_of()
    arms = [[EVERYWHERE] * len(task), [Takes(kind="entropy", budget=3)] * len(task)]
    found = cross_rollouts(side, side, task, arms, generation=GREEDY)
    assert not found.n_taken.any()
    assert len(found.taken_at) == 0


def test_a_token_taken_is_the_donor_s_after_the_text_so_far(paired):
    pair = paired("llama")
    found = crossed(pair, Takes(kind="places", budget=None, places=(2, 4)))
    written = found.rollouts
    assert set(found.taken_at.tolist()) <= {2, 4}
    assert len(found.taken_at) > 0
    for row, at, given, replaced in zip(
        *(x.tolist() for x in (found.taken_row, found.taken_at, found.taken_id, found.replaced_id)),
        strict=True,
    ):
        ids = torch.tensor([written.prompt_ids(row) + written.ids(row)[:at]])
        with torch.no_grad():
            own, other = (m.original_model(ids).logits[0, -1] for m in (pair.base, pair.post))
        assert written.ids(row)[at] == given == int(other.argmax())
        assert replaced == int(own.argmax()) != given


def test_a_budget_is_spent_at_the_first_places_and_never_exceeded(paired):
    pair = paired("llama")
    found = crossed(pair, *(Takes(kind="jsd", budget=budget) for budget in (1, 2, None)))
    assert int(found.n_taken[0].max()) == 1
    assert int(found.n_taken[1].max()) == 2
    assert bool((found.n_taken.diff(dim=0) >= 0).all())
    n = len(task_of())
    first = {row % n: at for row, at in zip(found.taken_row, found.taken_at, strict=True)}
    late = crossed(pair, Takes(kind="jsd", budget=1, first=3))
    assert int(late.taken_at.min()) >= 3
    assert first


def test_a_threshold_that_no_divergence_reaches_takes_nothing(paired):
    found = crossed(paired("llama"), Takes(kind="jsd", budget=None, threshold=0.7))
    assert not found.n_taken.any()


def test_a_row_does_not_depend_on_its_batch(paired):
    pair, task = paired("llama"), task_of()
    takes = Takes(kind="jsd", budget=2)
    sides = pair.side("base"), pair.side("post")
    one = Generation(stop_ids=(2, 5), max_new_tokens=8, batch_size=1)
    alone_ = cross_rollouts(*sides, task, [[takes] * len(task)], generation=one)
    together = crossed(pair, takes)
    assert same(alone_.rollouts, together.rollouts)
    for name in ("taken_row", "taken_at", "taken_id", "replaced_id"):
        assert getattr(alone_, name).tolist() == getattr(together, name).tolist()


def test_it_goes_on_from_a_checkpoint_with_what_was_taken(paired, tmp_path):
    pair, takes = paired("llama"), Takes(kind="jsd", budget=2)
    straight = crossed(pair, takes)
    with RunDirectory.open(tmp_path / "run", kind="rollouts", arguments={}, identity={}) as run:
        first = crossed(pair, takes, execution=Execution(checkpoint=run))
        n_computed = run.n_computed
        again = crossed(pair, takes, execution=Execution(checkpoint=run))
        assert run.n_computed == n_computed > 0
    for found in (first, again):
        assert found.rollouts.written.tolist() == straight.rollouts.written.tolist()
        assert found.taken_id.tolist() == straight.taken_id.tolist()


def test_sampled_texts_and_edited_donors_are_refused(paired):
    pair, task = paired("llama"), task_of()
    sides = pair.side("base"), pair.side("post")
    arms = [[EVERYWHERE] * len(task)]
    with pytest.raises(RolloutError, match="whose chance decides"):
        cross_rollouts(*sides, task, arms, generation=Generation(temperature=1.0))
    with (
        pytest.raises(RolloutError, match="is under edits"),
        edited(pair.post, [GENERATED]),
    ):
        cross_rollouts(*sides, task, arms, generation=GREEDY)
    with pytest.raises(RolloutError, match="neither can be negative"):
        Takes(kind="jsd", budget=-1)
