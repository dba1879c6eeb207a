"""Laws that hold whatever the models are: on a model and itself, nothing differs."""

import pytest
import torch

from elicit.grafting import interpolate, revert, sample_texts, sweep_intervals
from elicit.pair import weights_digest


@pytest.fixture(scope="module")
def twins(organism, tasks_of):
    return organism("identity"), *tasks_of("identity")


def test_no_part_of_a_model_and_itself_has_an_effect(twins):
    pair, known, asked = twins
    found = revert(pair, damage=known, skill=asked)
    assert not found.changed.any()
    for name in ("revert", "graft", "control_revert", "control_graft"):
        for end in ("", "_low", "_high"):
            assert not getattr(found, name + end).nan_to_num().any()
    assert not found.gap.any()
    assert found.role == ("none", "none")
    assert set(found.verdict) == {"unchanged"}
    assert found.corrupted_layers == found.skill_layers == found.changed_layers == ()


def test_no_interval_of_a_model_and_itself_has_an_effect(twins):
    pair, known, _ = twins
    found = sweep_intervals(pair, [known])
    assert not found.revert.nan_to_num().any()
    assert not found.graft.nan_to_num().any()


def test_the_line_from_a_model_to_itself_is_flat(twins):
    pair, known, _ = twins
    found = interpolate(pair, [known])
    assert torch.equal(found.score, found.score[:, :1].expand_as(found.score))
    assert torch.equal(found.layer_score, found.layer_score[:, :, :1].expand_as(found.layer_score))


def test_a_model_and_itself_write_the_same(twins):
    pair, _, asked = twins
    found = sample_texts(pair, asked)
    assert found.base_text == found.post_text


def test_weights_have_their_digests_after_a_sweep_and_after_one_that_failed(organism, tasks_of):
    pair, (known, asked) = organism("shuffled-l1-l4"), tasks_of("shuffled-l1-l4")
    before = weights_digest(pair.base), weights_digest(pair.post)
    revert(pair, damage=known, kinds=["layer"], control_draws=1)
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
        revert(pair, skill=asked, progress=Stop())
    assert (weights_digest(pair.base), weights_digest(pair.post)) == before


def test_the_same_seed_gives_the_same_bytes(organism, tasks_of, tmp_path):
    pair, (known, _) = organism("shuffled-l1"), tasks_of("shuffled-l1")
    for folder in ("one", "two"):
        revert(pair, damage=known, kinds=["layer"], seed=3).save(tmp_path / folder)
    for file in ("values.safetensors", "table.parquet", "result.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
