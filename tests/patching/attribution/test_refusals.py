"""What makes no attribution is refused before a model runs."""

from dataclasses import replace

import pytest
import torch

from elicit.pair import load_pair
from elicit.patching import PatchError, across, within
from elicit.patching.attribution import attribute, attribute_edges
from elicit.sites import SiteError


def test_within_a_model_there_must_be_corrupted_prompts(paired, contrast):
    pair = paired("llama")
    given = replace(contrast(pair), corrupted=None)
    for verb in (attribute, attribute_edges):
        with pytest.raises(PatchError, match="no corrupted prompts"):
            verb(pair, given, within())


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        ({"direction": "sideways"}, "direction is 'sideways'"),
        ({"model": "both"}, "model is 'both'"),
        ({"metrics": ["loss"]}, "loss"),
        ({"metrics": ["log_prob", "kl"]}, "one"),
        ({"sites": ["pattern"]}, "pattern"),
        ({"positions": [99]}, "99"),
    ],
)
def test_options_that_make_no_question_are_refused(paired, contrast, unchecked, ask, told):
    pair = paired("llama")
    with pytest.raises(PatchError, match=told):
        attribute(pair, contrast(pair), within(**ask))


@pytest.mark.parametrize("site", ["resid_pre.7", "z.0.9", "k.0.3", "residual", "resid_mid.1"])
def test_sites_that_the_model_does_not_have_are_refused(paired, contrast, unchecked, site):
    pair = paired("gpt_neox" if site == "resid_mid.1" else "llama")
    with pytest.raises(SiteError):
        attribute(pair, contrast(pair), within(sites=[site]))
    with pytest.raises(SiteError):
        attribute(pair, contrast(pair), within(sites=[]))


def test_a_logit_difference_of_long_answers_is_refused(paired, contrast):
    pair = paired("llama")
    with pytest.raises(PatchError, match="one token"):
        attribute(pair, contrast(pair, long_answers=True), within())


def test_across_there_is_no_way_between_inputs_and_no_other_direction(paired, contrast, unchecked):
    pair = paired("llama")
    with pytest.raises(PatchError, match="both models read the same prompt"):
        attribute(pair, contrast(pair), across(), method="ig_inputs")
    with pytest.raises(PatchError, match="denoise"):
        attribute(pair, contrast(pair), across("denoise"))


def test_a_donor_that_is_not_finite_is_refused_by_name(written, contrast):
    pair = load_pair(written("llama", seed=1), written("llama", seed=2))
    weight = pair.post.blocks[1].mlp.out.weight
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.fill_(float("inf"))
        with pytest.raises(PatchError, match=r"mlp_out.1 is NaN or infinite on problem '[012]'"):
            attribute(pair, contrast(pair), across(sites=["mlp_out"]))
    finally:
        with torch.no_grad():
            weight.copy_(before)


def test_an_architecture_without_anatomy_is_refused_with_a_way_out(paired, contrast, monkeypatch):
    from elicit.capture.engine.decompose import _FAMILIES

    pair = paired("llama")
    monkeypatch.delitem(_FAMILIES, "llama")
    with pytest.raises(PatchError, match="sweep exactly"):
        attribute(pair, contrast(pair), within())
