"""Gates: FVU, L0 and dead features against plain sums, and what does not fit is refused."""

import dataclasses

import pytest
import torch

from elicit.capture import capture
from elicit.features import (
    TRAINED_ON,
    FeatureError,
    Published,
    TextRows,
    fidelity,
    from_sae_lens,
)
from elicit.runs import Execution
from elicit.sites import resid_post
from elicit.stats import Inference
from tests.features import made


def plain(model, sae, rows):
    """Activations of all tokens but the first of each row, one row at a time."""
    found = [
        capture(model, torch.tensor([row]), sites=[sae.site]).at[sae.site][0, 1:] for row in rows
    ]
    return torch.cat(found).detach()


def test_fvu_l0_and_dead_features_are_plain_sums(pair, sae, traces):
    found = fidelity(pair, sae, traces[:10], model="post", execution=Execution(max_tokens=200))
    x = plain(pair.post, sae, traces[:10]).double()
    acts = sae.encode(x.float())
    made_of = sae.decode(acts).double()
    expected = (x - made_of).square().sum() / (x - x.mean(0)).square().sum()
    assert found.fvu.value == pytest.approx(expected.item(), rel=1e-6)
    assert found.l0.value == pytest.approx((acts > 0).sum(1).double().mean().item(), rel=1e-6)
    assert found.dead_fraction == (acts > 0).any(0).logical_not().double().mean().item()
    torch.testing.assert_close(found.density, (acts > 0).double().mean(0), atol=1e-9, rtol=0)
    torch.testing.assert_close(found.max_act, acts.amax(0), atol=1e-4, rtol=1e-4)
    assert found.n_tokens == len(x)


def test_a_dictionary_of_both_signs_of_every_dimension_loses_nothing(pair, traces):
    eye = torch.eye(pair.d_model)
    both = made.hand_made(torch.cat([eye, -eye]), hook="blocks.3.hook_resid_post")
    found = fidelity(pair, both, traces[:6], model="base")
    assert found.fvu.value < 1e-12
    found.require()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"normalize_activations": "layer_norm"}])
def test_the_size_of_a_chunk_changes_rounding_alone(pair, traces, options):
    module = made.random_module("temporal", d_in=pair.d_model, hook="blocks.3.hook_resid_post")
    topk = made.random_module("topk", d_in=pair.d_model, hook="blocks.3.hook_resid_post", **options)
    for one in (module, topk):
        sae = from_sae_lens(one, name="x")
        found = [
            fidelity(pair, sae, traces[:7], model="base", execution=Execution(max_tokens=n))
            for n in (20, 5000)
        ]
        for name, rel in (("fvu", 1e-5), ("l0", 1e-3)):
            one, two = (getattr(each, name).value.item() for each in found)
            assert one == pytest.approx(two, rel=rel)


def test_reading_leaves_gradients_as_they_were(pair, sae, traces):
    """Also where two models are read in step and one is left before its end."""
    from elicit.features._reading import blocks, rows_of

    rows = rows_of(pair, traces[:6])
    made_of = [
        blocks(pair.side(name), sae, rows, execution=Execution(max_tokens=50))
        for name in ("base", "post")
    ]
    for _ in zip(*made_of, strict=True):
        assert torch.is_grad_enabled()
    next(blocks(pair.side("base"), sae, rows, execution=Execution(max_tokens=50)))
    fidelity(pair, sae, traces[:6], model="base", execution=Execution(max_tokens=50))
    assert torch.is_grad_enabled()


def test_what_fails_a_gate_is_not_gone_on_with(pair, sae, traces):
    found = fidelity(pair, sae, traces[:4], model="post")
    assert found.fvu.value > 0.5
    assert list(found.failures(least_recovered=-1e9)) == ["max_fvu"]
    with pytest.raises(FeatureError, match="resid_post.3 of organism:when-l3 .*larger max_fvu"):
        found.require()
    found.require(max_fvu=float("inf"))
    l0 = found.l0.value.item()
    said = dataclasses.replace(sae, published=Published(fvu=0.1, l0=l0 * 3))
    found = fidelity(pair, said, traces[:4], model="post")
    assert (found.published_fvu, found.published_l0) == (0.1, l0 * 3)
    assert list(found.failures(max_fvu=float("inf"))) == ["l0_factor"]
    with pytest.raises(FeatureError, match="larger l0_factor"):
        found.require(max_fvu=float("inf"))


def test_intervals_are_over_problems_and_hold_what_the_rows_say(pair, sae, traces):
    """Rows of one problem are no news: their interval is that of one row each."""
    once = fidelity(pair, sae, traces[:12], model="base", inference=Inference(seed=3))
    names = [f"p{i}" for i in range(12)]
    texts = TextRows(rows=traces[:12] * 2, problem=names * 2)
    twice = fidelity(pair, sae, texts, model="base", inference=Inference(seed=3))
    assert (once.n_problems, twice.n_problems) == (12, 12)
    for name in ("fvu", "l0", "ce_recovered"):
        value, low, high = getattr(once, name).ends
        assert low < value < high
        assert getattr(twice, name).ends == pytest.approx((value, low, high), rel=1e-6)
    doubled = fidelity(pair, sae, traces[:12] * 2, model="base", inference=Inference(seed=3))
    width = [each.fvu.high - each.fvu.low for each in (doubled, once)]
    assert width[0] < 0.9 * width[1]
    alone = fidelity(pair, sae, TextRows(rows=traces[:2], problem=["a", "a"]), model="base")
    assert alone.fvu.low.isnan()


def test_an_interval_of_a_ratio_covers_it_as_often_as_it_says():
    from elicit.stats import linearised_ratio, problem_mean

    generator, hits = torch.Generator().manual_seed(0), 0
    for trial in range(200):
        size = 1 + 9 * torch.rand(60, generator=generator, dtype=torch.float64)
        above = size * (0.3 + 0.4 * torch.rand(60, generator=generator, dtype=torch.float64))
        mean = problem_mean(
            linearised_ratio(above, size, torch.arange(60)),
            inference=Inference(level=0.95, n_resamples=200, seed=trial),
        )
        hits += mean.low <= 0.5 <= mean.high
    assert 182 <= hits <= 198, hits


def test_cross_entropies_are_those_of_the_edits_themselves(pair, sae, traces):
    from elicit.edits import Ablate, window
    from elicit.features import splice
    from elicit.features._cross_entropy import entropy_by_row
    from elicit.features._reading import rows_of

    found, rows = fidelity(pair, sae, traces[:5], model="post"), rows_of(pair, traces[:5])
    for name, edits in {
        "ce": [],
        "ce_spliced": [splice(sae, where=window(1))],
        "ce_zero": [Ablate(sae.site, where=window(1))],
    }.items():
        total, n = entropy_by_row(pair.side("post"), rows, edits)
        assert getattr(found, name) == pytest.approx(float(total.sum() / n.sum()), rel=1e-6)
    share = (found.ce_zero - found.ce_spliced) / (found.ce_zero - found.ce)
    assert found.ce_recovered.value == pytest.approx(share)
    assert list(found.failures(max_fvu=1e9, least_recovered=1.01)) == ["least_recovered"]
    with pytest.raises(FeatureError, match="1.01.*smaller least_recovered"):
        found.require(max_fvu=float("inf"), least_recovered=1.01)
    bare = fidelity(pair, sae, traces[:5], model="post", spliced=False)
    assert bare.ce != bare.ce and torch.equal(bare.fvu.value, found.fvu.value)


def test_outliers_are_left_out_and_nothing_else(pair, sae, traces):
    all_of = fidelity(pair, sae, traces[:8], model="base")
    norm = plain(pair.base, sae, traces[:8]).norm(dim=1)
    # Between the largest norm and the second largest: one token is left out.
    largest = norm.sort().values[-2:]
    times = float(largest.mean() / norm.sort().values[(len(norm) - 1) // 2])
    found = fidelity(pair, sae, traces[:8], model="base", outliers=times)
    assert (all_of.n_outliers, found.n_outliers) == (0, 1)
    assert found.n_tokens == all_of.n_tokens - 1 and found.fvu.value != all_of.fvu.value
    # Its activation is not spliced, so the texts cost another cross-entropy.
    assert found.ce == all_of.ce and found.ce_spliced != all_of.ce_spliced
    far = fidelity(pair, sae, traces[:8], model="base", outliers=1e6)
    assert far.fvu.ends == all_of.fvu.ends and far.ce_spliced == all_of.ce_spliced
    with pytest.raises(FeatureError, match="0.5"):
        fidelity(pair, sae, traces[:8], model="base", outliers=0.5)


def test_an_sae_of_another_width_layer_or_model_is_refused(pair, sae, traces):
    narrow = from_sae_lens(made.random_module("standard", d_in=32), name="narrow")
    with pytest.raises(FeatureError, match="narrow reads vectors of width 32, and resid_post.1"):
        fidelity(pair, narrow, traces, model="base")
    deep = made.random_module("standard", d_in=pair.d_model, hook="blocks.60.hook_resid_post")
    with pytest.raises(FeatureError, match=r"resid_post\.60, and this model has no such site"):
        fidelity(pair, from_sae_lens(deep, name="deep"), traces, model="base")
    foreign = dataclasses.replace(sae, metadata={TRAINED_ON: ["0" * 64]})
    with pytest.raises(FeatureError, match="000000000000"):
        fidelity(pair, foreign, traces, model="base")
    coder = made.random_module("transcoder", d_in=pair.d_model)
    with pytest.raises(FeatureError, match="transcoder"):
        fidelity(pair, from_sae_lens(coder, name="coder"), traces, model="base")
    with pytest.raises(FeatureError, match="no token that counts"):
        fidelity(pair, sae, [[1]], model="base")
    with pytest.raises(FeatureError, match="row 1 has no token"):
        fidelity(pair, sae, [[1, 2], []], model="base")


def test_the_site_is_where_the_sae_was_trained(sae):
    assert sae.site == resid_post(3)


def test_it_survives_the_disk(pair, sae, traces, tmp_path):
    from elicit.results import load_result

    found = fidelity(pair, sae, traces[:3], model="post")
    back = load_result(found.save(tmp_path / "one"))
    assert back.fvu.ends == found.fvu.ends and torch.equal(back.density, found.density)
    assert back.provenance.arguments["sae_digest"] == sae.digest
