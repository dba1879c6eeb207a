"""An SAE as a function is SAELens's, in every architecture, and what cannot be used is refused."""

import json

import pytest
import torch
from sae_lens import SAE

from elicit.features import FeatureError, from_sae_lens, load_sae
from elicit.sites import SiteError, resid_post, site_of_hook, z
from tests.features import made


def activations(seed=0, width=16):
    return torch.randn(2, 5, width, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.parametrize("architecture", made.ARCHITECTURES)
def test_features_are_those_of_saelens(architecture, tmp_path):
    folder = made.saved(tmp_path / "sae", architecture)
    sae, theirs, x = load_sae(folder), SAE.load_from_disk(folder), activations()
    assert torch.equal(sae.encode(x), theirs.encode(x))
    assert sae.encode(x).any()
    assert torch.equal(sae.reconstruct(x), theirs(x))
    if not sae.reads_context:
        assert torch.equal(sae.decode(sae.encode(x)), theirs.decode(theirs.encode(x)))
    assert (sae.site, sae.d_in, sae.d_sae) == (resid_post(1), 16, 32)
    assert sae.architecture == architecture.removesuffix("-rescaled")
    assert sae.metadata["model_name"] == "tiny"


@pytest.mark.parametrize("architecture", made.TRAINED)
def test_what_saelens_saves_after_training_is_read_alike(architecture, tmp_path):
    from sae_lens import TrainingSAE
    from sae_lens.registry import get_sae_training_class

    cls, cfg_cls = get_sae_training_class(architecture)
    sizes = {"matryoshka_widths": [16, 32]} if "matryoshka" in architecture else {}
    k = {"k": 4} if "topk" in architecture else {}
    torch.manual_seed(0)
    trained: TrainingSAE = cls(cfg_cls(d_in=16, d_sae=32, **k, **sizes))
    trained.cfg.metadata.hook_name = "blocks.1.hook_resid_post"
    if hasattr(trained, "topk_threshold"):
        trained.topk_threshold += 0.7
    trained.save_inference_model(tmp_path / "sae")
    sae, x = load_sae(tmp_path / "sae"), activations()
    assert torch.equal(sae.encode(x), SAE.load_from_disk(tmp_path / "sae").encode(x))
    if "batchtopk" in architecture:
        assert sae.architecture == "jumprelu"


@pytest.mark.parametrize("architecture", made.RECONSTRUCT)
@pytest.mark.parametrize("normalised", ["none", "layer_norm", "constant_norm_rescale"])
def test_a_direction_is_what_one_unit_of_a_feature_adds(architecture, normalised, tmp_path):
    folder = made.saved(tmp_path / "sae", architecture, normalize_activations=normalised)
    sae, theirs, x = load_sae(folder), SAE.load_from_disk(folder), activations()
    codes, more = theirs.encode(x), torch.zeros(32)
    more[7] = 2.5
    decoded = theirs.decode(codes)
    theirs.encode(x)  # what SAELens undoes in decode it keeps from the last encode
    changed = theirs.decode(codes + more) - decoded
    expected = 2.5 * sae.unit(x) * sae.directions[7]
    torch.testing.assert_close(changed, expected, atol=2e-5, rtol=1e-4)


def test_weights_are_frozen_and_gradients_reach_the_activation(tmp_path):
    sae = load_sae(made.saved(tmp_path / "sae", "jumprelu"))
    x = activations().requires_grad_()
    sae.encode(x).sum().backward()
    assert x.grad is not None and x.grad.any()
    assert all(parameter.grad is None for parameter in sae.module.parameters())


def test_one_trained_on_centred_activations_takes_their_mean_off(tmp_path):
    folder = made.saved(tmp_path / "sae", "standard")
    cfg = json.loads((folder / "cfg.json").read_text())
    cfg["metadata"]["model_from_pretrained_kwargs"] = {"center_writing_weights": True}
    (folder / "cfg.json").write_text(json.dumps(cfg))
    sae, x = load_sae(folder), activations()
    plain = from_sae_lens(made.random_module("standard"), name="plain")
    assert torch.equal(sae.encode(x), plain.encode(x - x.mean(-1, keepdim=True)))
    torch.testing.assert_close(sae.encode(x + 5), sae.encode(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(sae.reconstruct(x + 5), sae.reconstruct(x) + 5)


def test_heads_come_as_one_vector(tmp_path):
    folder = made.saved(
        tmp_path / "sae", "standard", hook="blocks.2.attn.hook_z", reshape_activations="hook_z"
    )
    sae, x = load_sae(folder), activations().unflatten(-1, (4, 4))
    assert sae.site == z(2)
    theirs = SAE.load_from_disk(folder)
    assert torch.equal(sae.encode(x.flatten(-2)), theirs.encode(x))
    assert torch.equal(sae.reconstruct(x.flatten(-2)), theirs(x).flatten(-2))


@pytest.mark.parametrize(
    ("hook", "site"),
    [
        ("blocks.3.hook_resid_post", "resid_post.3"),
        ("blocks.0.hook_resid_pre", "resid_pre.0"),
        ("blocks.3.hook_mlp_out", "mlp_out.3"),
        ("blocks.3.attn.hook_z", "z.3"),
        ("model.layers.12", "resid_post.12"),
        ("transformer.h.1", "resid_post.1"),
        ("blocks.4.hook_out", "resid_post.4"),
    ],
)
def test_a_hook_name_gives_the_site(hook, site):
    assert str(site_of_hook(hook)) == site


@pytest.mark.parametrize("hook", ["blocks.3.ln2.hook_normalized", "hook_embed", "model.norm", ""])
def test_a_hook_of_no_site_is_refused(hook):
    with pytest.raises(SiteError, match="hook point of no site"):
        site_of_hook(hook)


@pytest.mark.slow(checked=True)
def test_what_cannot_be_loaded_says_why(tmp_path):
    with pytest.raises(FeatureError, match=r"no cfg\.json"):
        load_sae(tmp_path)
    folder = made.saved(tmp_path / "cut", "standard")
    weights = folder / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(FeatureError, match="cannot be loaded"):
        load_sae(folder)
    with pytest.raises(FeatureError, match="Did you mean gemma-scope-2b-pt-res"):
        load_sae("sae:gemma-scope-2b-pt-ress/layer_3")
    with pytest.raises(FeatureError, match="names the SAE 'blocks.99.hook_resid_pre'"):
        load_sae("sae:gpt2-small-res-jb/blocks.99.hook_resid_pre")
    # Without a network and with an empty cache this is what the hub answers.
    with pytest.raises(FeatureError, match="cannot be loaded"):
        load_sae("sae:gpt2-small-res-jb/blocks.7.hook_resid_pre")


def test_an_sae_whose_scale_was_never_folded_in_is_refused(tmp_path):
    folder = made.saved(
        tmp_path / "sae", "standard", normalize_activations="expected_average_only_in"
    )
    with pytest.raises(FeatureError, match="expected_average_only_in"):
        load_sae(folder)


def test_one_for_training_and_a_wrong_site_are_refused(tmp_path):
    from sae_lens import TopKTrainingSAE, TopKTrainingSAEConfig

    training = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=16, d_sae=32, k=4))
    with pytest.raises(FeatureError, match="TopKTrainingSAE"):
        from_sae_lens(training, name="x")
    folder = made.saved(tmp_path / "sae", "standard")
    with pytest.raises(FeatureError, match=r"trained at resid_post\.1 and site is resid_post\.2"):
        load_sae(folder, site=resid_post(2))
    odd = made.saved(tmp_path / "odd", "standard", hook="blocks.1.ln2.hook_normalized")
    with pytest.raises(FeatureError, match="Pass site="):
        load_sae(odd)
    assert load_sae(odd, site=resid_post(1)).site == resid_post(1)
    nameless = from_sae_lens(
        made.random_module("standard", metadata={}), name="x", site=resid_post(0)
    )
    assert nameless.site == resid_post(0)
    with pytest.raises(FeatureError, match="hook point.* site="):
        from_sae_lens(made.random_module("standard", metadata={}), name="x")


def test_other_widths_and_features_out_of_range_are_refused(tmp_path):
    sae = load_sae(made.saved(tmp_path / "sae", "standard"))
    with pytest.raises(FeatureError, match="reads vectors of width 16"):
        sae.encode(torch.zeros(3, 17))
    with pytest.raises(FeatureError, match="feature 32 is out of range"):
        sae.check_features((3, 32))
    with pytest.raises(FeatureError, match="feature -1"):
        sae.check_features((-1,))
    with pytest.raises(FeatureError, match="contain one twice"):
        sae.check_features((1, 1))
    with pytest.raises(FeatureError, match="no feature is given"):
        sae.check_features(())
    context = load_sae(made.saved(tmp_path / "temporal", "temporal"))
    with pytest.raises(FeatureError, match="previous tokens"):
        context.encode(torch.zeros(3, 16))
    with pytest.raises(FeatureError, match="Call reconstruct"):
        context.decode(torch.zeros(3, 32))


def test_published_values_come_from_the_metadata():
    hook = {"hook_name": "blocks.0.hook_resid_post"}
    cfg = {"metadata": {**hook, "l0": 12.5, "num_dead_features": 8}}
    sae = from_sae_lens(made.random_module("standard", **cfg), name="x")
    assert (sae.published.l0, sae.published.dead_fraction) == (12.5, 0.25)
    assert sae.published.fvu is None
    assert repr(sae) == "Sae('x', resid_post.0, standard, d_in=16, d_sae=32)"
