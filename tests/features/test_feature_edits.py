"""Edits of features: exact, with the SAE's error kept, and scale 0 is no edit at all."""

import pytest
import torch

from elicit import features
from elicit.edits import EditError, Shift, edited, last, shape_of
from elicit.features import FeatureError
from elicit.sites import resid_mid, resid_post
from tests.edits.plain import logits_of, padded, read
from tests.features import made

FEATURE = 3
EDITED = tuple(name for name in made.RECONSTRUCT if name != "temporal")


def sae_for(model, architecture="jumprelu", hook="blocks.1.hook_resid_post", **options):
    width = options.pop("d_in", shape_of(model).d_model)
    module = made.random_module(architecture, d_in=width, d_sae=64, hook=hook, **options)
    return features.from_sae_lens(module, name=architecture)


@pytest.fixture(scope="module")
def model(paired):
    return paired("llama").base


@pytest.mark.parametrize("normalised", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("architecture", EDITED)
def test_a_clamp_is_encode_edit_decode_and_the_error(model, architecture, normalised):
    sae = sae_for(model, architecture, normalize_activations=normalised)
    x = torch.randn(7, sae.d_in, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    sae.module.double()
    sae = features.from_sae_lens(sae.module, name="double")
    decode = sae.module.decode
    codes = sae.module.encode(x)
    edit = codes.clone()
    edit[:, FEATURE] = 1.7
    error = x - decode(codes)
    sae.module.encode(x)  # SAELens's decode undoes the scaling of the last encode
    expected = decode(edit) + error
    shift = features.clamp(sae, FEATURE, 1.7).shift(x)
    # Their layer norm divides by std + 1e-5 and multiplies by std.
    torch.testing.assert_close(x + shift, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("architecture", made.ARCHITECTURES)
def test_a_feature_encoded_alone_is_that_of_all(model, architecture):
    sae = sae_for(model, architecture)
    x = torch.randn(2, 9, sae.d_in, generator=torch.Generator().manual_seed(5))
    before = sae.encode(x)
    for feature in (0, FEATURE, 63):
        alone = sae.encode_one(x, feature)
        torch.testing.assert_close(alone, before[..., [feature]], atol=1e-5, rtol=1e-5)
    assert before[..., [0, FEATURE, 63]].any()
    # SAELens's object is left as it was.
    assert torch.equal(sae.encode(x), before)


@pytest.mark.parametrize("architecture", EDITED)
def test_an_edit_to_what_the_features_are_changes_no_bit(model, architecture):
    sae = sae_for(model, architecture)
    ids, mask = padded()
    clean = logits_of(model, ids, mask)
    with edited(model, [features.rewrite(sae, lambda codes: codes)]):
        assert torch.equal(logits_of(model, ids, mask), clean)


def test_scale_0_changes_no_bit_and_scale_1_some(model):
    sae = sae_for(model)
    ids, mask = padded()
    clean = logits_of(model, ids, mask)
    made_of = {
        "add": lambda scale: features.add(sae, FEATURE, 4.0, scale=scale),
        "clamp": lambda scale: features.clamp(sae, FEATURE, 4.0, scale=scale),
        "project_out": lambda scale: features.project_out(sae, FEATURE, scale=scale),
        "splice": lambda scale: features.splice(sae, scale=scale),
    }
    for name, edit in made_of.items():
        with edited(model, [edit(0.0)]):
            assert torch.equal(logits_of(model, ids, mask), clean), name
        with edited(model, [edit(1.0)]):
            assert not torch.equal(logits_of(model, ids, mask), clean), name
        scales = torch.tensor([0.0, 1.0, 0.5, 0.0])
        with edited(model, [edit(scales)]):
            swept = logits_of(model, ids, mask)
        assert torch.equal(swept[[0, 3]], clean[[0, 3]]), name
        for row in (1, 2):
            with edited(model, [edit(float(scales[row]))]):
                assert torch.equal(logits_of(model, ids, mask)[row], swept[row]), name


def test_what_is_written_is_what_the_formula_says(model):
    sae, (ids, mask) = sae_for(model), padded()
    x = read(model, sae.site, ids, mask)
    real = mask.bool()
    codes, direction = sae.encode(x), sae.directions[FEATURE]
    expected = {
        "add": x + 2.0 * direction,
        "clamp": x + (2.0 - codes[..., [FEATURE]]) * direction,
        "project_out": x - (x @ direction)[..., None] * direction / direction.norm() ** 2,
        "splice": sae.reconstruct(x),
    }
    edits = {
        "add": features.add(sae, FEATURE, 2.0),
        "clamp": features.clamp(sae, FEATURE, 2.0),
        "project_out": features.project_out(sae, FEATURE),
        "splice": features.splice(sae),
    }
    for name, edit in edits.items():
        with edited(model, [edit]):
            after = read(model, sae.site, ids, mask)
        torch.testing.assert_close(after[real], expected[name][real], atol=1e-5, rtol=1e-5)
        assert torch.equal(after[~real], x[~real]), name


def test_only_the_tokens_meant_are_edited(model):
    sae, (ids, mask) = sae_for(model), padded(side="right")
    x = read(model, sae.site, ids, mask)
    with edited(model, [features.clamp(sae, FEATURE, 9.0, where=last(), rows=(1,))]):
        after = read(model, sae.site, ids, mask)
    expected = torch.zeros(ids.shape, dtype=torch.bool)
    expected[1, mask[1].sum() - 1] = True
    assert torch.equal((after != x).any(-1), expected)


def test_a_shift_sees_only_the_tokens_that_are_meant(model):
    seen = []

    def shift(x):
        seen.append(tuple(x.shape))
        return torch.zeros_like(x)

    ids, mask = padded()
    clean = logits_of(model, ids, mask)
    with edited(model, [Shift(resid_mid(1), shift, where=last())]):
        assert torch.equal(logits_of(model, ids, mask), clean)
    assert seen == [(len(ids), shape_of(model).d_model)]


def test_heads_are_edited_as_one_vector(model):
    shape = shape_of(model)
    width = shape.n_heads * shape.d_head
    sae = sae_for(model, hook="blocks.1.attn.hook_z", d_in=width)
    ids, mask = padded()
    x = read(model, sae.site, ids, mask)
    with edited(model, [features.clamp(sae, FEATURE, 2.0)]):
        after = read(model, sae.site, ids, mask)
    flat = x.flatten(2)
    expected = flat + (2.0 - sae.encode(flat)[..., [FEATURE]]) * sae.directions[FEATURE]
    real = mask.bool()
    torch.testing.assert_close(after.flatten(2)[real], expected[real], atol=1e-5, rtol=1e-5)
    with pytest.raises(FeatureError, match=rf"all heads of {sae.site}"):
        features.project_out(sae, FEATURE)


def test_gradients_pass_through_a_shift(model):
    sae, (ids, mask) = sae_for(model), padded()
    scale = torch.ones(len(ids), requires_grad=True)
    with edited(model, [features.add(sae, FEATURE, 2.0, scale=scale)]):
        model(ids, attention_mask=mask).sum().backward()
    assert scale.grad is not None and scale.grad.abs().min() > 0


def test_edits_that_make_no_sense_are_refused(model, paired):
    sae = sae_for(model)
    with pytest.raises(FeatureError, match="feature 64 is out of range"):
        features.add(sae, 64, 1.0)
    with pytest.raises(EditError, match="amount of feature"):
        features.add(sae, 1, 0.0)
    with pytest.raises(EditError, match="value is nan"):
        features.clamp(sae, 1, float("nan"))
    narrow = sae_for(model, d_in=shape_of(model).d_model // 2)
    with (
        pytest.raises(EditError, match=r"reads \d+ numbers a token"),
        edited(model, [features.clamp(narrow, 1, 1.0)]),
    ):
        pass
    coder = features.from_sae_lens(made.random_module("transcoder"), name="coder")
    with pytest.raises(FeatureError, match="transcoder"):
        features.clamp(coder, 1, 1.0)
    context = features.from_sae_lens(made.random_module("temporal"), name="context")
    with pytest.raises(FeatureError, match="previous tokens"):
        features.clamp(context, 1, 1.0)
    ids, mask = padded()
    for shift, told in (
        (lambda x: x[:, 1:], "the shape"),
        (lambda x: x / 0, "values that are not finite"),
    ):
        with (
            pytest.raises(EditError, match=told),
            edited(model, [Shift(resid_post(1), shift)]),
        ):
            logits_of(model, ids, mask)


def test_an_edit_prints_what_it_does(model):
    told = repr(features.clamp(sae_for(model), FEATURE, 2.0, where=last()))
    for part in ("resid_post.1", "feature=3", "value=2.0", "where=last()", "'jumprelu'"):
        assert part in told
