"""Transfer: nothing is lost from a model to itself, and what was only rotated is given back."""

import pytest
import torch

from elicit.capture import capture
from elicit.edits import edited
from elicit.features import (
    FeatureError,
    TrainConfig,
    fidelity,
    fit_frames,
    from_sae_lens,
    splice,
    train,
    transfer,
)
from elicit.features._cross_entropy import entropy_by_row
from elicit.features._reading import rows_of
from elicit.runs import Execution
from elicit.sites import resid_post
from tests.features import made

HOOK, SITE = "blocks.3.hook_resid_post", resid_post(3)


def principal(model, rows, n=56):
    x = [capture(model, torch.tensor([row]), sites=[SITE]).at[SITE][0, 1:] for row in rows]
    return made.principal(torch.cat(x).detach(), n, hook=HOOK)


@pytest.fixture(scope="module")
def split(traces, facts):
    return [*traces[:16], *facts[:10]], [*traces[16:40], *facts[10:40]]


@pytest.mark.slow
def test_a_model_and_itself_hold_each_other_exactly_alike(organism, split):
    twins = organism("identity")
    sae = principal(twins.base, split[0])
    found = transfer(twins, sae, split[0], model="base", fit=split[1])
    measured = {name: getattr(found, name) for name in ("fvu", "ce_recovered")}
    values = {name: estimate.value for name, estimate in measured.items()}
    for name in ("l0", "dead_fraction", "ce", "ce_spliced", "ce_zero"):
        values[name] = getattr(found, name)
    for name, value in values.items():
        assert torch.equal(value, value[:1].expand_as(value)), name
    delta, fvu = found.delta_fvu, found.fvu
    assert not delta.value.any() and (found.l0_ratio == 1).all()
    assert not delta.low.any() and not delta.high.any()
    assert (fvu.low < fvu.value).all() and (fvu.value < fvu.high).all()
    varies = found.correlation[:, 0].isfinite()
    assert varies.any() and (found.correlation[varies] == 1).all()
    back = transfer(twins, sae, split[0], model="post", fit=split[1])
    assert torch.equal(back.fvu.value, fvu.value)


@pytest.fixture(scope="module")
def learned(organism, split, tmp_path_factory):
    """SAEs of both models of the rotated pair, each trained on its own."""
    config = TrainConfig(d_sae=192, k=16, n_steps=150, batch=256, lr=3e-3, buffer=3000)
    folder = tmp_path_factory.mktemp("saes")
    return {
        on: train(
            organism("rotated"), split[1], folder / on, site=SITE, model=on, config=config, seed=0
        )
        for on in ("base", "post")
    }


@pytest.mark.slow
@pytest.mark.parametrize("on", ["base", "post"])
def test_a_rotated_model_breaks_the_sae_and_the_rotation_restores_it(organism, split, learned, on):
    pair = organism("rotated")
    found = transfer(pair, learned[on], split[0], model=on, fit=split[1])
    own, raw, moved, rotated = range(4)
    fvu = found.fvu.value
    assert fvu[own] < 0.2
    assert fvu[raw] > 0.8 and fvu[moved] > 0.5
    assert fvu[rotated] == pytest.approx(fvu[own].item(), rel=1e-2)
    assert found.ce[own] == pytest.approx(found.ce[raw].item(), abs=1e-4)
    cost = found.ce_spliced - found.ce
    assert cost[raw] > 3 * cost[own]
    assert cost[rotated] == pytest.approx(cost[own].item(), rel=2e-2)
    varies = found.correlation[:, own].isfinite()
    assert found.correlation[varies, rotated].nan_to_num().median() > 0.99
    assert found.correlation[varies, raw].nan_to_num().mean() < 0.4


def test_a_shifted_model_is_restored_by_its_mean(pair, split):
    """A constant added at every token is drift, and moving the mean takes it off."""
    frames = fit_frames(pair, split[1], site=SITE, model="base")
    x = torch.randn(50, pair.d_model, generator=torch.Generator().manual_seed(0))
    for frame in (frames.mean, frames.rotated):
        torch.testing.assert_close(frame.back(frame.into(x)), x, atol=1e-4, rtol=1e-4)
    rotation = frames.rotated.rotation
    assert rotation is not None
    eye = torch.eye(pair.d_model, dtype=rotation.dtype)
    torch.testing.assert_close(rotation @ rotation.T, eye, atol=1e-9, rtol=0)


@pytest.mark.slow
def test_the_numbers_of_a_reading_are_those_measured_alone(pair, split):
    sae = principal(pair.base, split[1])
    found = transfer(
        pair, sae, split[0], model="base", fit=split[1], execution=Execution(max_tokens=300)
    )
    for i, on in enumerate(("base", "post")):
        alone = fidelity(pair, sae, split[0], model=on)
        assert found.fvu.value[i] == pytest.approx(alone.fvu.value.item(), rel=1e-5)
        assert found.l0[i] == pytest.approx(alone.l0.value.item(), rel=1e-5)
        for name in ("fvu", "ce_recovered"):
            both = getattr(found, name)[i].ends, getattr(alone, name).ends
            assert both[0] == pytest.approx(both[1], rel=1e-4)
        assert found.dead_fraction[i] == pytest.approx(alone.dead_fraction)
    acts = [
        torch.cat(
            [
                sae.encode(
                    capture(model, torch.tensor([row]), sites=[SITE]).at[SITE][0, 1:].detach()
                )
                for row in split[0]
            ]
        ).double()
        for model in (pair.base, pair.post)
    ]
    for feature in (0, 3, 60):
        both = torch.stack([a[:, feature] for a in acts])
        expected = torch.corrcoef(both)[0, 1].item()
        assert found.correlation[feature, 1] == pytest.approx(expected, abs=1e-4)


def cross_entropy(*given, **options):
    """Nats a token over all rows."""
    total, n = entropy_by_row(*given, **options)
    return float(total.sum() / n.sum())


def test_cross_entropy_is_that_of_the_model(pair, sae, split):
    rows, base = rows_of(pair, split[0][:6]), pair.side("base")
    plain = cross_entropy(base, rows, [], execution=Execution(max_tokens=60))
    total, n = 0.0, 0
    for row in split[0][:6]:
        logits = capture(pair.base, torch.tensor([row]), sites=[], logits=True).logits.detach()
        logp = logits[0, :-1].log_softmax(-1)
        total -= logp[range(len(row) - 1), row[1:]].sum().item()
        n += len(row) - 1
    assert plain == pytest.approx(total / n, rel=1e-5)
    under = cross_entropy(base, rows, [splice(sae)], execution=Execution(max_tokens=60))
    with edited(pair.base, [splice(sae)]):
        again = cross_entropy(base, rows, [], execution=Execution(max_tokens=600))
    assert under == pytest.approx(again, rel=1e-5) and under > plain


def test_what_cannot_be_transferred_is_refused(pair, sae, split):
    with pytest.raises(FeatureError, match="rotation would fit noise"):
        transfer(pair, sae, split[0], model="base", fit=split[0][:1])
    context = made.random_module("temporal", d_in=pair.d_model, hook=HOOK)
    with pytest.raises(FeatureError, match="previous tokens"):
        transfer(pair, from_sae_lens(context, name="x"), split[0], model="base", fit=split[1])


def test_the_picture_has_every_reading(pair, sae, split):
    found = transfer(pair, sae, split[0][:4], model="post", fit=split[1])
    figure = found.figure()
    assert [trace.type for trace in figure.data] == ["bar", "bar", "violin", "violin", "violin"]
    assert list(figure.data[0].x) == list(found.reading)
