"""Laws that hold whatever the models are: on a model and itself, nothing differs."""

import pytest
import torch

from elicit.directions import diff_mean
from elicit.edits import last
from elicit.grafting import Verdict, interpolate, localise, sample_texts, sweep_intervals
from elicit.pair import weights_digest
from elicit.rollouts import Generation, dose_rollouts, rollouts
from elicit.runs import Execution
from elicit.sites import resid_post
from elicit.stats import Inference
from tests.pairs import header_pairs


@pytest.fixture(scope="module")
def twins(organism, tasks_of):
    return organism("identity"), *tasks_of("identity")


def test_no_part_of_a_model_and_itself_has_an_effect(twins):
    pair, known, asked = twins
    found = localise(pair, damage=known, skill=asked)
    assert not found.changed.any()
    for name in ("revert", "graft", "control_revert", "control_graft"):
        effect = getattr(found, name)
        for end in (effect.value, effect.low, effect.high):
            assert not end.nan_to_num().any()
    assert not found.gap.value.any()
    assert found.role == ("none", "none")
    assert set(found.verdict) == {(Verdict.UNCHANGED,)}
    assert found.corrupted_layers == found.skill_layers == found.changed_layers == ()


def test_no_interval_of_a_model_and_itself_has_an_effect(twins):
    pair, known, _ = twins
    found = sweep_intervals(pair, [known])
    assert not found.revert.value.nan_to_num().any()
    assert not found.graft.value.nan_to_num().any()


def test_the_line_from_a_model_to_itself_is_flat(twins):
    pair, known, _ = twins
    found = interpolate(pair, [known])
    score = found.score.value
    assert torch.equal(score, score[:, :1].expand_as(score))
    assert torch.equal(found.layer_score, found.layer_score[:, :, :1].expand_as(found.layer_score))


def test_a_model_and_itself_write_the_same(twins):
    pair, _, asked = twins
    found = sample_texts(pair, asked)
    assert found.base_text == found.post_text


def test_a_direction_of_a_model_and_itself_is_one_and_at_scale_0_writes_the_same(twins):
    pair, _, asked = twins
    task = asked.task.subset(6, seed=0)
    pairs = header_pairs(task)
    base, post = (
        diff_mean(pair.side(name), pairs, sites=[resid_post(3), resid_post(4)])
        for name in ("base", "post")
    )
    assert torch.equal(base.vector, post.vector) and torch.equal(base.auroc.value, post.auroc.value)
    found = base.at(resid_post(4))
    options = {"generation": Generation(temperature=1.0, max_new_tokens=16), "seed": 3}
    plain = rollouts(pair.side("post"), task, **options)
    dosed = dose_rollouts(
        pair.side("base"), task, lambda scale: [found.to_edit(scale, last())],
        strengths=[0.0, 1.0], **options,
    )  # fmt: skip
    assert dosed.text[: len(task)] == plain.text
    assert dosed.text[len(task) :] != plain.text


@pytest.mark.slow
def test_weights_have_their_digests_after_a_sweep_and_after_one_that_failed(organism, tasks_of):
    pair, (known, asked) = organism("shuffled-l1-l4"), tasks_of("shuffled-l1-l4")
    before = weights_digest(pair.base), weights_digest(pair.post)
    localise(pair, damage=known, kinds=["layer"], controls=1)
    assert (weights_digest(pair.base), weights_digest(pair.post)) == before

    class Stop:
        steps = 0

        def start(self, total, what):
            """Nothing."""

        def advance(self, n=1, what=None):
            self.steps += 1
            if self.steps == 12:
                raise KeyboardInterrupt

        def stop(self):
            """Nothing."""

    with pytest.raises(KeyboardInterrupt):
        localise(pair, skill=asked, execution=Execution(progress=Stop()))
    assert (weights_digest(pair.base), weights_digest(pair.post)) == before


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(organism, tasks_of, tmp_path):
    pair, (known, _) = organism("shuffled-l1"), tasks_of("shuffled-l1")
    for folder in ("one", "two"):
        localise(pair, damage=known, kinds=["layer"], inference=Inference(seed=3)).save(
            tmp_path / folder
        )
    for file in ("values.safetensors", "table.parquet", "result.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
