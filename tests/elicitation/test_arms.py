"""Every arm pushes as hard as the one under test, along another direction, or not at all."""

from dataclasses import replace

import pytest
import torch

from elicit import features
from elicit.directions import Direction
from elicit.edits import edited, everywhere, generated, last
from elicit.elicitation import (
    Arm,
    ElicitationError,
    FeatureControls,
    Goal,
    direction_arms,
    dose_curve,
    feature_arms,
)
from elicit.elicitation.feature_push import FeaturePush
from elicit.features import FeatureError
from elicit.rollouts import Generation, RolloutError, dose_rollouts, edits_digest
from elicit.runs import Execution, RunDirectory
from elicit.sites import resid_post
from elicit.stats import Inference
from tests.edits.plain import logits_of, padded, read
from tests.elicitation.made import measured, sae_for
from tests.features import made
from tests.rollouts.made import STOPS, task_of

FEATURE = 3
HOW = ("add", "clamp", "project_out")


@pytest.fixture(scope="module")
def model(paired):
    return paired("llama").base


@pytest.fixture(scope="module")
def sae(model):
    return sae_for(model)


def direction(vector, **fields):
    told = {"model": "m", "model_digest": "d", "how": "difference of means", "position": "any",
            "site": resid_post(1), "norm": 1.0, "resid_norm": 1.0, "n": 1}  # fmt: skip
    return Direction(vector=vector, **{**told, **fields})


def arms_of(sae, how="add", where=None, **options):
    options = {"measured": measured(sae), **options}
    return feature_arms(sae, FEATURE, where=where or everywhere(), how=how, **options)


def every_kind(sae, where):
    other = direction(torch.arange(1.0, sae.d_in + 1))
    yield from direction_arms(other, where=where)
    for how in HOW:
        yield from arms_of(sae, how, where, baselines=[other])


@pytest.mark.parametrize("where", [last(), everywhere()])
def test_strength_0_of_every_kind_of_arm_changes_no_bit_and_strength_1_some(model, sae, where):
    ids, mask = padded()
    clean = logits_of(model, ids, mask)
    for arm in every_kind(sae, where):
        with edited(model, arm.edit(torch.zeros(len(ids)))):
            assert torch.equal(logits_of(model, ids, mask), clean), arm.name
        with edited(model, arm.edit(torch.ones(len(ids)))):
            assert not torch.equal(logits_of(model, ids, mask), clean), arm.name


@pytest.mark.parametrize("normalised", ["none", "layer_norm"])
@pytest.mark.parametrize("how", HOW)
def test_at_every_token_all_arms_push_as_far_and_each_its_own_way(model, how, normalised):
    sae = sae_for(model, normalize_activations=normalised)
    other = direction(torch.arange(1.0, sae.d_in + 1))
    arms = arms_of(sae, how, baselines=[other])
    ids, mask = padded()
    real = mask.bool()
    before = read(model, sae.site, ids, mask)[real].double()
    pushes = []
    for arm in arms:
        with edited(model, arm.edit(torch.ones(len(ids)))):
            pushes.append(read(model, sae.site, ids, mask)[real].double() - before)
    lengths = torch.stack([push.norm(dim=-1) for push in pushes])
    assert lengths[0].min() > 0
    torch.testing.assert_close(lengths, lengths[:1].expand_as(lengths), rtol=1e-3, atol=1e-4)
    if how == "add" and normalised == "none":
        assert all(arm.norm == pytest.approx(lengths[0].mean().item(), rel=1e-4) for arm in arms)
    else:
        assert all(arm.norm != arm.norm for arm in arms)
    for push in pushes[1:]:
        assert torch.cosine_similarity(push, pushes[0], dim=-1).abs().max() < 0.9
    assert [arm.kind for arm in arms] == ["steered", *["control"] * 9, "baseline"]


@pytest.mark.parametrize("how", HOW)
def test_along_its_own_direction_a_push_is_the_feature_s_edit(model, sae, how):
    own = {
        "add": lambda: features.add(sae, FEATURE, 2.5),
        "clamp": lambda: features.clamp(sae, FEATURE, 2.5),
        "project_out": lambda: features.project_out(sae, FEATURE),
    }[how]()
    ids, mask = padded()
    push = FeaturePush(sae, FEATURE, how, 2.5, sae.directions[FEATURE])
    with edited(model, [own]):
        expected = logits_of(model, ids, mask)
    with edited(model, [features.rewrite(sae, lambda codes: codes), replace_shift(own, sae, push)]):
        torch.testing.assert_close(logits_of(model, ids, mask), expected, atol=1e-4, rtol=1e-4)


def replace_shift(own, sae, push):
    return features.edits.Shift(sae.site, push, where=own.where, width=sae.d_in)


def test_live_controls_fire_as_often_point_elsewhere_and_are_never_the_feature(model):
    sae = sae_for(model)
    density = torch.linspace(0.01, 0.64, sae.d_sae)
    density[0] = 0.0
    names = set()
    for seed in range(20):
        controls = FeatureControls(seed=seed, n_random=0)
        arms = arms_of(sae, measured=measured(sae, density=density), controls=controls)
        drawn = [int(arm.name.split()[-1]) for arm in arms if arm.name.startswith("live")]
        assert len(drawn) == len(set(drawn)) == 4 and FEATURE not in drawn
        ratio = density[drawn] / density[FEATURE]
        assert ((ratio >= 0.5) & (ratio <= 2)).all()
        names |= set(drawn)
    few = torch.zeros(sae.d_sae)
    few[[FEATURE, 5, 6]] = 0.1
    with pytest.raises(ElicitationError, match=r"at 0\.1 of the tokens, and 2 other features"):
        arms_of(sae, measured=measured(sae, density=few))
    two = FeatureControls(n_live=2)
    assert len(arms_of(sae, measured=measured(sae, density=few), controls=two)) == 8
    # Another reader of the same thing is no control.
    writers = made.random_module("standard", d_in=8, d_sae=4).W_dec.detach().clone()
    writers[1] = 2 * writers[0]
    twin = made.hand_made(torch.eye(8)[:4], hook="blocks.1.hook_resid_post", writers=writers)
    with pytest.raises(ElicitationError, match="2 were to be drawn"):
        feature_arms(
            twin, 0, where=last(), measured=measured(twin),
            controls=FeatureControls(n_live=2, max_cosine=1e-9),
        )  # fmt: skip


def test_an_amount_is_twice_the_largest_activation_if_nothing_is_said(sae):
    assert arms_of(sae)[0].norm == pytest.approx(
        2 * (FEATURE + 1) * sae.directions[FEATURE].norm().item(), rel=1e-5
    )
    assert arms_of(sae, "clamp")[0].name == f"feature {FEATURE}, set to {2 * (FEATURE + 1)}"
    assert arms_of(sae, amount=-1.5)[0].name == f"feature {FEATURE}, -1.5 added"


def test_texts_under_other_pushes_are_other_texts(sae, paired, tmp_path):
    """Finished batches are found again by what the edit does, and by nothing else."""
    digests = [edits_digest(arm.edits()) for arm in every_kind(sae, last())]
    digests += [edits_digest(arms_of(sae, how, last(), amount=9.0)[0].edits()) for how in HOW[:2]]
    digests.append(edits_digest(arms_of(sae, "clamp", everywhere())[0].edits()))
    assert len(set(digests)) == len(digests)
    pair, (arm, *_) = paired("llama"), arms_of(sae, "clamp", last())
    ask = {"strengths": [0.5, 1.0], "generation": Generation(stop_ids=STOPS, max_new_tokens=4)}
    counts = []
    for _ in range(2):
        with RunDirectory.open(tmp_path, kind="t", arguments={}, identity={}) as run:
            dose_rollouts(
                pair.side("base"),
                task_of(),
                arm.edit,
                execution=Execution(checkpoint=run),
                **ask,
            )
            counts.append((run.n_computed, run.n_read))
    assert counts == [(1, 0), (0, 1)]
    unknown = Arm(
        name="unknown",
        kind="steered",
        norm=float("nan"),
        edit=lambda s: [features.rewrite(sae, lambda codes: 2 * codes, scale=s)],
    )
    with pytest.raises(RolloutError, match="digest"):
        dose_curve(pair.side("base"), task_of(), [unknown], **ask)


@pytest.mark.parametrize("where", [last(), generated(0, 0), generated(), everywhere()])
def test_a_feature_s_curve_begins_at_the_unsteered_model(paired, sae, where):
    pair = paired("llama")
    arms = arms_of(sae, "clamp", where, amount=60.0, controls=FeatureControls(n_live=1, n_random=1))
    found = dose_curve(
        pair.side("base"),
        task_of(4),
        arms,
        strengths=[0.0, 1.0],
        generation=Generation(stop_ids=STOPS, max_new_tokens=6),
        inference=Inference(n_resamples=100),
        goal=Goal(markers={"two": lambda text: "two" in text}, wordings={"longer": task_of(5)}),
    )
    still = found.unsteered[:, None].expand(-1, len(found.arm))
    assert torch.equal(found.rate.value[:, :, 0], still)
    assert not found.effect.value[:, :, 0].any()
    log_prob = found.log_prob.value[0]
    assert log_prob[0] == pytest.approx(found.unsteered_log_prob, abs=1e-12)
    assert (log_prob[1] != log_prob[0]) or not found.effect.value.any()
    # The same words asked again are the same texts.
    assert found.reference == ("unsteered", "longer")
    assert torch.equal(found.reference_rate.value[:, 1], found.unsteered)
    assert found.site == "resid_post.1" and found.where == str(where)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"how": "project_out", "amount": 1.0}, ElicitationError, "would be ignored"),
        ({"baselines": [direction(torch.ones(7))]}, ElicitationError, "7 entries"),
        ({"baselines": [direction(torch.ones(32), site=resid_post(0))]}, ElicitationError, "st.0"),
    ],
)  # fmt: skip
def test_arms_that_could_not_be_compared_are_refused(sae, options, error, says):
    with pytest.raises(error, match=says):
        arms_of(sae, **options)


def test_a_feature_that_was_not_measured_is_refused(sae):
    with pytest.raises(FeatureError, match="feature 64 is out of range"):
        feature_arms(sae, 64, where=last(), measured=measured(sae))
    with pytest.raises(ElicitationError, match="are of other at"):
        arms_of(sae, measured=replace(measured(sae), sae="other"))
    silent = measured(sae, max_act=torch.zeros(sae.d_sae))
    with pytest.raises(ElicitationError, match="gives no unit"):
        arms_of(sae, measured=silent)
    dead = replace(silent, density=torch.zeros(sae.d_sae))
    with pytest.raises(ElicitationError, match="no live feature fires as often"):
        arms_of(sae, measured=dead, amount=3.0)
    part = replace(silent, feature=silent.feature[10:], density=silent.density[10:],
                   max_act=silent.max_act[10:])  # fmt: skip
    with pytest.raises(ElicitationError, match="not among the 54"):
        arms_of(sae, measured=part)
    with pytest.raises(ElicitationError, match="none could be drawn"):
        FeatureControls(factor=0.5)
    with pytest.raises(ElicitationError, match="no control"):
        FeatureControls(n_live=0, n_random=0, shuffled=False)
    assert isinstance(arms_of(sae)[0], Arm)
