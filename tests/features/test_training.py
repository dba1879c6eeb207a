"""Training is seeded to the byte, learns what it reads, and leaves a folder that SAELens loads."""

import pytest
import torch

from elicit import features
from elicit.features import FeatureError, TrainConfig, fidelity, load_sae, train
from elicit.features._reading import TRAINED_ON, rows_of
from elicit.features.training import Feed
from elicit.sites import resid_post, z

SMALL = TrainConfig(d_sae=128, k=8, n_steps=60, batch=256, lr=3e-3, buffer=1500)


@pytest.fixture(scope="module")
def trained(pair, traces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saes") / "base"
    return train(
        pair, traces, folder, site=resid_post(3), model="base", config=SMALL, seed=1
    ), folder


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(pair, traces, trained, tmp_path):
    _, folder = trained
    torch.manual_seed(99)
    again = train(
        pair, traces, tmp_path / "two", site=resid_post(3), model="base", config=SMALL, seed=1
    )
    weights = "sae_weights.safetensors"
    assert (tmp_path / "two" / weights).read_bytes() == (folder / weights).read_bytes()
    other = train(
        pair, traces, tmp_path / "three", site=resid_post(3), model="base", config=SMALL, seed=2
    )
    assert other.digest != again.digest
    assert torch.initial_seed() == 99


@pytest.mark.slow(checked=True)
def test_it_learns_what_it_reads_and_says_so(pair, traces, trained):
    sae, folder = trained
    found = fidelity(pair, sae, traces, model="base")
    assert found.fvu.value < 0.25
    assert found.fvu.value == pytest.approx(found.published_fvu, abs=0.1)
    assert found.l0.value == pytest.approx(8, abs=1)
    assert sae.metadata[TRAINED_ON] == [pair.base_digest]
    assert (sae.architecture, sae.site) == ("topk", resid_post(3))
    assert load_sae(folder).digest == sae.digest
    found.require()


@pytest.mark.slow
def test_one_dictionary_serves_both_models(pair, traces, tmp_path):
    config = TrainConfig(
        d_sae=128, k=8, architecture="batchtopk", n_steps=250, batch=256, lr=3e-3, buffer=4000
    )
    sae = train(
        pair, traces, tmp_path / "both", site=resid_post(4), model="both", config=config, seed=0
    )
    assert sae.architecture == "jumprelu"
    assert sae.metadata[TRAINED_ON] == [pair.base_digest, pair.post_digest]
    for on in ("base", "post"):
        found = fidelity(pair, sae, traces, model=on)
        assert found.fvu.value < 0.25
        assert 4 < found.l0.value < 16


def test_heads_are_learned_as_one_vector(pair, traces, tmp_path):
    config = TrainConfig(d_sae=32, k=4, n_steps=3, batch=64, buffer=500)
    sae = train(pair, traces[:4], tmp_path / "z", site=z(2), model="post", config=config, seed=0)
    assert (sae.site, sae.d_in) == (z(2), 96)


def test_a_feed_gives_every_token_of_every_row_and_both_models_at_the_same_ones(pair, traces):
    rows = rows_of(pair, traces[:6])
    sides = [pair.side("base"), pair.side("post")]
    feed = Feed(sides, rows, resid_post(2), buffer=100, max_tokens=8192)
    n, seen = int(rows.counted.sum()), []
    batches = feed.batches(16, seed=0, joint=True)
    while sum(map(len, seen)) < n:
        seen.append(next(batches))
    x = torch.cat(seen)
    assert x.shape[1:] == (2, pair.d_model)
    # Layer 3 alone was trained, so below it both models say the same.
    torch.testing.assert_close(x[:, 0], x[:, 1])
    one = torch.cat([next(feed.batches(16, seed=0)) for _ in range(1)])
    assert torch.equal(one, next(feed.batches(16, seed=0)))
    assert not torch.equal(one, next(feed.batches(16, seed=1)))


def test_what_cannot_be_trained_is_refused(pair, traces, trained, tmp_path):
    _, folder = trained
    ask = {"site": resid_post(3), "model": "base", "config": SMALL, "seed": 0}
    with pytest.raises(FeatureError, match=f"{folder} exists"):
        train(pair, traces, folder, **ask)
    with pytest.raises(FeatureError, match="k no larger than d_sae"):
        TrainConfig(d_sae=4, k=5)
    with pytest.raises(FeatureError, match="n_steps is 0"):
        TrainConfig(d_sae=4, k=2, n_steps=0)
    from elicit.sites import SiteError, pattern

    with pytest.raises(FeatureError, match="pattern"):
        train(pair, traces, tmp_path / "x", **{**ask, "site": pattern(1)})
    with pytest.raises(SiteError, match="layers 0 to 5"):
        train(pair, traces, tmp_path / "x", **{**ask, "site": resid_post(9)})
    assert not (tmp_path / "x").exists()
    assert features.train is train
