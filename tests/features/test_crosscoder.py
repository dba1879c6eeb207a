"""A crosscoder of a model and itself names nothing; of models with one new direction, that one."""

import pytest
import torch

from elicit.features import (
    FeatureError,
    TrainConfig,
    crosscoder_scaling,
    load_crosscoder,
    post_only_features,
    train_crosscoder,
)
from elicit.features._reading import rows_of
from elicit.features.crosscoder_training import _Learner
from elicit.features.latent_scaling import Scaling
from elicit.features.training import Feed
from elicit.sites import resid_post

SITE = resid_post(3)
CONFIG = TrainConfig(
    d_sae=128, k=12, architecture="batchtopk", n_steps=200, batch=256, lr=2e-3, buffer=3000
)
SHORT = TrainConfig(d_sae=32, k=4, architecture="batchtopk", n_steps=8, batch=64, buffer=800)


def joint(pair, rows):
    tokens = rows_of(pair, rows)
    sides = [pair.side("base"), pair.side("post")]
    return Feed(sides, tokens, SITE, buffer=10**6, max_tokens=8192).read(list(range(len(rows))))


def test_no_feature_of_a_model_and_itself_is_post_only(organism, traces):
    twins = organism("identity")
    made = train_crosscoder(twins, traces[:20], site=SITE, config=SHORT, seed=0)
    assert torch.equal(made.W_dec[0], made.W_dec[1])
    assert (made.relative_norm == 0.5).all()
    found = crosscoder_scaling(twins, made, traces[20:30])
    active = found.n_active > 0
    assert active.any() and (found.ratio[active] == 1).all()
    assert post_only_features(made, found) == ()
    # Not even where the norms are not asked.
    assert post_only_features(made, found, min_norm=0.0) == ()


class Planted:
    """Activations made of 24 sparse directions that both models share, and one of post alone."""

    def __init__(self, d=32):
        generator = torch.Generator().manual_seed(5)
        directions = torch.randn(25, d, generator=generator)
        self.directions = directions / directions.norm(dim=1, keepdim=True)

    def draw(self, n, generator):
        on = torch.rand(n, 25, generator=generator) < 0.12
        acts = on * (1 + torch.rand(n, 25, generator=generator)) * 4
        shared = acts[:, :24] @ self.directions[:24]
        own = acts[:, 24:] @ self.directions[24:]
        return torch.stack([shared, shared + own], dim=1)

    def batches(self, size, seed):
        generator = torch.Generator().manual_seed(seed)
        while True:
            yield self.draw(size, generator)


@pytest.mark.slow
def test_a_planted_direction_of_post_alone_is_named_and_no_shared_one():
    world = Planted()
    config = TrainConfig(
        d_sae=40, k=3, architecture="batchtopk", n_steps=900, batch=256, lr=3e-3, buffer=1
    )
    learner = _Learner(world.batches(256, seed=1), 32, config, seed=0, device="cpu")
    for _ in range(config.n_steps):
        learner.step()
    made = learner.finished(SITE, ("base", "post"))
    x = world.draw(4000, torch.Generator().manual_seed(77))
    acts = made.encode(x)
    back = made.decode(acts)
    fvu = (x - back).square().sum() / (x - x.mean(0)).square().sum()
    assert fvu < 0.2
    cosine = torch.nn.functional.cosine_similarity(
        made.W_dec[1][:, None], world.directions[None], dim=2
    )
    found = Scaling(made.W_dec[1])
    overlap = (made.W_dec * made.W_dec[1]).sum(2) / made.W_dec[1].square().sum(1)
    names = ("base", "post")
    found.update(
        acts,
        {f"{n} error": x[:, m] - back[:, m] for m, n in enumerate(names)}
        | {f"{n} reconstruction": back[:, m] - made.b_dec[m] for m, n in enumerate(names)},
        {f"{n} own": acts * overlap[m] for m, n in enumerate(names)},
    )
    error = [found.beta(f"{n} error") + found.beta(f"{n} own") for n in names]
    rebuilt = [found.beta(f"{n} reconstruction") for n in names]
    named = (
        (made.relative_norm >= 0.9)
        & ((error[0] / error[1]).abs() < 0.2)
        & ((rebuilt[0] / rebuilt[1]).abs() < 0.5)
    )
    assert named.any()
    # Whatever is named is the planted direction.
    assert (cosine[named].argmax(1) == 24).all() and cosine[named, 24].min() > 0.9
    shared = (cosine.amax(1) > 0.9) & (cosine.argmax(1) != 24)
    assert shared.sum() >= 20
    torch.testing.assert_close(
        made.relative_norm[shared], torch.full((int(shared.sum()),), 0.5), atol=0.1, rtol=0
    )


@pytest.mark.slow
def test_it_holds_both_models_of_a_trained_pair(organism, traces):
    pair = organism("bias-l3")
    made = train_crosscoder(pair, traces[:30], site=SITE, config=CONFIG, seed=0)
    x = joint(pair, traces[30:])
    back = made.decode(made.encode(x))
    for m in range(2):
        spread = (x[:, m] - x[:, m].mean(0)).square().sum()
        assert (x[:, m] - back[:, m]).square().sum() / spread < 0.3


def test_the_same_seed_gives_the_same_bytes_and_the_disk_keeps_them(pair, traces, tmp_path):
    one, two, other = (
        train_crosscoder(pair, traces[:8], site=SITE, config=SHORT, seed=seed) for seed in (3, 3, 4)
    )
    assert one.digest == two.digest != other.digest
    back = load_crosscoder(one.save(tmp_path / "x"))
    x = joint(pair, traces[8:10])
    assert torch.equal(back.encode(x), one.encode(x))
    assert back.trained_on == (pair.base_digest, pair.post_digest)
    assert repr(back) == "Crosscoder(resid_post.3, d_in=96, d_sae=32)"
    weights = tmp_path / "x" / "crosscoder.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(FeatureError, match=f"the weights in {tmp_path / 'x'}"):
        load_crosscoder(tmp_path / "x")
    with pytest.raises(FeatureError, match="no readable crosscoder"):
        load_crosscoder(tmp_path)


def test_about_k_features_are_active_on_new_texts(pair, traces):
    config = TrainConfig(
        d_sae=64, k=6, architecture="batchtopk", n_steps=60, batch=128, lr=2e-3, buffer=2000
    )
    made = train_crosscoder(pair, traces[:20], site=SITE, config=config, seed=0)
    active = (made.encode(joint(pair, traces[20:])) > 0).sum(1).double().mean()
    assert 3 < active < 12
    norms = (made.W_dec.norm(dim=2) / made.size[:, None]).sum(0)
    torch.testing.assert_close(norms, torch.ones(64), atol=1e-4, rtol=0)


def test_other_pairs_and_architectures_are_refused(pair, organism, traces):
    with pytest.raises(FeatureError, match="architecture='batchtopk'"):
        train_crosscoder(
            pair, traces, site=SITE, config=TrainConfig(d_sae=8, k=2, n_steps=2), seed=0
        )
    made = train_crosscoder(pair, traces[:4], site=SITE, config=SHORT, seed=0)
    with pytest.raises(FeatureError, match="the crosscoder was trained on"):
        crosscoder_scaling(organism("bias-l3"), made, traces[:4])
    other = train_crosscoder(pair, traces[:4], site=SITE, config=SHORT, seed=1)
    with pytest.raises(FeatureError, match=f"{made.digest[:12]} .*{other.digest[:12]}"):
        post_only_features(other, crosscoder_scaling(pair, made, traces[:4]))
