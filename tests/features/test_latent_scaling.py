"""Latent scaling is least squares, exactly 1 on a model and itself, and names what is not there."""

import pytest
import torch

from elicit.capture import capture
from elicit.features import FeatureError, from_sae_lens, latent_scaling
from elicit.features.latent_scaling import Scaling
from elicit.sites import resid_post
from tests.features import made

HOOK = "blocks.3.hook_resid_post"


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_silent", [0, 300])
def test_a_scale_is_the_least_squares_solution_of_its_feature_alone(n_silent):
    """Among features that are all silent, few are active at a token, and sums are made of those."""
    acts, y, d = seeded(50, 6).relu(), seeded(50, 9, seed=1), seeded(6 + n_silent, 9, seed=2)
    acts[:, 4] = 0
    acts[7] = 0
    acts = torch.cat([acts, torch.zeros(50, n_silent)], dim=1)
    found = Scaling(d)
    for part in (slice(0, 20), slice(20, 50)):
        found.update(acts[part], {"y": y[part], "same": y[part]}, {"own": 2 * acts[part]})
    assert torch.equal(found.beta("y").nan_to_num(), found.beta("same").nan_to_num())
    assert found.beta("y")[6:].isnan().all()
    for j in range(6):
        design = (acts[:, [j]].double() * d[j].double()).reshape(-1, 1)
        if j == 4:
            assert found.beta("y")[j].isnan()
            continue
        expected = torch.linalg.lstsq(design, y.reshape(-1, 1).double()).solution
        assert found.beta("y")[j] == pytest.approx(expected.item(), rel=1e-9)
        assert found.beta("own")[j] == pytest.approx(2, rel=1e-6)


def test_no_feature_of_a_model_and_itself_is_post_only(organism, traces):
    twins = organism("identity")
    module = made.random_module("topk", d_in=96, d_sae=64, hook=HOOK)
    sae = from_sae_lens(module, name="x")
    for on in ("base", "post"):
        found = latent_scaling(twins, sae, traces[:8], model=on)
        assert torch.equal(found.base.nan_to_num(), found.post.nan_to_num())
        active = found.n_active > 0
        assert active.any() and (found.ratio[active] == 1).all()
        assert not found.post_only().any()


def test_a_direction_that_only_post_writes_is_post_only(organism, traces):
    """Post is the base with one constant vector added at layer 3."""
    pair = organism("bias-l3")
    site = resid_post(3)
    x = {
        name: torch.cat(
            [capture(m, torch.tensor([r]), sites=[site]).at[site][0, 1:] for r in traces[:12]]
        ).detach()
        for name, m in (("base", pair.base), ("post", pair.post))
    }
    gap = (x["post"] - x["base"]).mean(0)
    size, unit = gap.norm(), gap / gap.norm()
    other = seeded(96)
    other = other - (other @ unit) * unit
    other = other / other.norm()
    mean = x["base"].mean(0)
    # The base itself points a little along the vector, which b_dec takes off.
    sae = made.hand_made(
        torch.stack([unit, other]),
        hook=HOOK,
        bias=torch.stack([-(mean @ unit) - size / 2, -(mean @ other)]),
        b_dec=mean,
    )
    found = latent_scaling(pair, sae, traces[12:30], model="post")
    assert found.n_active[0] > 0.5 * found.n_tokens
    reconstruction = found.target.index("reconstruction")
    assert found.ratio[0, reconstruction].abs() < 0.5
    assert found.ratio[1, reconstruction] == pytest.approx(1, abs=1e-3)


def test_what_has_no_one_direction_is_refused(pair, traces):
    for module in (
        made.random_module("temporal", d_in=96, hook=HOOK),
        made.random_module("topk", d_in=96, hook=HOOK, normalize_activations="layer_norm"),
    ):
        with pytest.raises(FeatureError, match="no single direction"):
            latent_scaling(pair, from_sae_lens(module, name="x"), traces[:3], model="post")
