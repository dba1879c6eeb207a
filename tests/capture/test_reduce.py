"""Sums over a stream are the sums over everything at once, in any order and any chunks."""

import numpy as np
import pytest
import torch

from elicit.capture import CaptureError, CrossMoments, Moments, capture, cross_moments, moments
from elicit.runs import Execution
from elicit.sites import SiteError, pattern, q, resid_mid, resid_post, resid_pre, z


def data(n=2000, d=12, *, mean=0.0, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64) @ mix
    return (x + mean * (1 + torch.arange(d))).to(dtype)


def gathered(x, sizes):
    found = Moments(x.shape[1])
    for part in x.split(sizes):
        found.update(part)
    return found


SIZES = [1, 0, 7, 500, 1, 491, 1000]


@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_covariance_is_numpys_also_where_the_mean_dwarfs_the_spread(mean, dtype):
    x = data(mean=mean, dtype=dtype)
    found = gathered(x, SIZES)
    exact = x.double().numpy()
    expected = np.cov(exact - exact.mean(0), rowvar=False)
    scale = np.abs(expected).max()
    assert found.n == len(x)
    assert np.abs(found.mean.numpy() - exact.mean(0)).max() <= 1e-12 * max(1.0, 12 * mean)
    assert np.abs(found.covariance().numpy() - expected).max() < 1e-10 * scale
    assert np.abs(found.variance(ddof=0).numpy() - exact.var(0)).max() < 1e-10 * scale
    gram = exact.T @ exact
    assert np.allclose(found.gram.numpy(), gram, rtol=1e-12)
    assert np.allclose(found.second_moment.numpy(), gram / len(x), rtol=1e-12)


def test_plain_sums_of_squares_would_fail_the_same_data():
    x = data(mean=1e4, dtype=torch.float32)
    naive = x.T @ x / len(x) - torch.outer(x.mean(0), x.mean(0))
    expected = torch.from_numpy(np.cov(x.double().numpy(), rowvar=False))
    assert (naive - expected).abs().max() > expected.abs().max()
    ours = gathered(x, SIZES).covariance()
    assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def test_order_of_batches_and_of_merging_does_not_matter_beyond_rounding():
    x = data(mean=1e4)
    whole = gathered(x, [len(x)])
    first, second, third = (gathered(part, 100) for part in x.split([300, 700, 1000]))
    ways = [
        gathered(x.flip(0), SIZES),
        first.merge(second).merge(third),
        third.merge(second.merge(first)),
        Moments(12).merge(third).merge(first).merge(Moments(12)).merge(second),
    ]
    for way in ways:
        assert way.n == whole.n
        assert torch.allclose(way.mean, whole.mean, rtol=1e-13)
        assert torch.allclose(way.scatter, whole.scatter, rtol=1e-10, atol=1e-6)
    # What is merged is left as it was.
    assert first.n == 300


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_cross_covariance_is_numpys(mean):
    x, y = data(mean=mean), data(d=5, mean=-mean, seed=3)
    y = y + x[:, :5] * 0.5
    found = CrossMoments(12, 5)
    for part, other in zip(x.split(SIZES), y.split(SIZES), strict=True):
        found.update(part, other)
    halves = [CrossMoments(12, 5), CrossMoments(12, 5)]
    halves[0].update(x[:1500], y[:1500])
    halves[1].update(x[1500:], y[1500:])
    expected = np.cov(
        np.hstack([x.numpy() - x.numpy().mean(0), y.numpy() - y.numpy().mean(0)]), rowvar=False
    )
    scale = np.abs(expected).max()
    for way in (found, halves[0].merge(halves[1]), halves[1].merge(halves[0])):
        assert way.n == len(x)
        assert np.abs(way.covariance().numpy() - expected[:12, 12:]).max() < 1e-10 * scale
        assert np.abs(way.x.covariance().numpy() - expected[:12, :12]).max() < 1e-10 * scale
        assert np.abs(way.y.covariance().numpy() - expected[12:, 12:]).max() < 1e-10 * scale


@pytest.mark.parametrize("d", [256, 301])
def test_wide_vectors_whose_scatter_is_made_in_strips_have_numpys_covariance(d):
    x, y = data(700, d, mean=10.0), data(700, d, mean=-3.0, seed=5)
    found = CrossMoments(d, d)
    for a, b in zip(x.split([300, 400]), y.split([300, 400]), strict=True):
        found.update(a, b)
    expected = np.cov(np.hstack([x.numpy(), y.numpy()]), rowvar=False)
    for ours, theirs in (
        (found.x, expected[:d, :d]),
        (found.y, expected[d:, d:]),
        (found, expected[:d, d:]),
    ):
        assert np.abs(ours.covariance().numpy() - theirs).max() < 1e-10 * np.abs(expected).max()
    assert torch.allclose(found.x.scatter, found.x.scatter.T, rtol=1e-10, atol=1e-8)
    own = CrossMoments(d, d)
    own.update(x, x.clone())
    assert torch.equal(own.scatter, own.x.scatter)
    assert torch.equal(own.scatter, own.y.scatter)


def test_what_is_added_is_left_as_it_was_and_half_precision_is_summed_in_double():
    x = data(500)
    before = x.clone()
    gathered(x, [500])
    assert torch.equal(x, before)
    half = data(5000, dtype=torch.bfloat16)
    expected = np.cov(half.double().numpy(), rowvar=False)
    assert np.allclose(gathered(half, 1000).covariance().numpy(), expected, rtol=1e-9, atol=1e-9)


def test_vectors_of_another_width_or_with_a_nan_are_refused_and_nothing_is_added():
    found = gathered(data(10), [10])
    with pytest.raises(CaptureError, match="width"):
        found.update(torch.zeros(3, 5))
    with pytest.raises(CaptureError, match="width"):
        found.merge(Moments(5))
    for bad in (float("nan"), float("inf"), -float("inf")):
        spoiled = data(10, dtype=torch.float32)
        spoiled[3, 2] = bad
        with pytest.raises(CaptureError, match="1 of 10 vectors"):
            found.update(spoiled)
        pairs = CrossMoments(12, 12)
        with pytest.raises(CaptureError, match="1 of 10 vectors"):
            pairs.update(data(10), spoiled.double())
        assert pairs.n == 0
    assert found.n == 10
    with pytest.raises(CaptureError, match="1 vectors were seen and ddof is 1"):
        gathered(data(1), [1]).covariance()
    with pytest.raises(CaptureError, match="0 vectors"):
        _ = Moments(3).second_moment
    with pytest.raises(Exception, match="one by one|Type-check"):
        CrossMoments(12, 12).update(data(3), data(4))


def token_rows(n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 12, (n,), generator=generator).tolist()
    return [torch.randint(4, 60, (length,), generator=generator).tolist() for length in lengths]


def one_by_one(model, rows, site, *, skip=0):
    """Every token's vector, each row run alone, without padding."""
    with torch.no_grad():
        alone = [
            capture(model, torch.tensor([row]), sites=[site]).at[site][0, skip:] for row in rows
        ]
    return torch.cat([part.flatten(1) for part in alone]).double().numpy()


SITES = [resid_pre(0), resid_mid(1), resid_post(2), z(1), q(0, 3)]


@pytest.mark.parametrize(("keep", "skip"), [("all", 0), ("not_first", 1)])
def test_moments_of_a_model_are_those_of_its_rows_run_alone(paired, keep, skip):
    pair, rows = paired("llama"), token_rows()
    found = moments(
        pair.side("base"), rows, sites=SITES, keep=keep, execution=Execution(max_tokens=40)
    )
    assert list(found) == SITES
    for site in SITES:
        exact = one_by_one(pair.base, rows, site, skip=skip)
        assert found[site].n == len(exact) == sum(len(row) - skip for row in rows)
        assert np.allclose(found[site].mean.numpy(), exact.mean(0), atol=1e-5)
        expected = np.cov(exact, rowvar=False)
        assert np.allclose(found[site].covariance().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("max_tokens", [1, 17, 100_000])
def test_moments_do_not_depend_on_the_chunks(paired, max_tokens):
    pair, rows = paired("gpt2"), token_rows()
    sites = [resid_post(1), z(2)]
    one = moments(pair.side("base"), rows, sites=sites, execution=Execution(max_tokens=50))
    other = moments(
        pair.side("base"), rows[::-1], sites=sites, execution=Execution(max_tokens=max_tokens)
    )
    for site in sites:
        assert one[site].n == other[site].n
        assert torch.allclose(one[site].mean, other[site].mean, atol=1e-5)
        assert torch.allclose(one[site].covariance(), other[site].covariance(), atol=1e-4)


def test_a_mask_of_ones_own_chooses_tokens_and_never_padding(paired):
    pair, rows = paired("gpt2"), token_rows()

    def last(chunk):
        wanted = chunk.encoded.lengths[:, None] - 1
        return (chunk.encoded.position_ids == wanted) | ~chunk.encoded.real

    found = moments(pair.side("base"), rows, sites=[resid_post(2)], keep=last)
    site = resid_post(2)
    with torch.no_grad():
        exact = torch.stack(
            [capture(pair.base, torch.tensor([row]), sites=[site]).at[site][0, -1] for row in rows]
        )
    assert found[site].n == len(rows)
    assert torch.allclose(found[site].mean, exact.double().mean(0), atol=1e-5)

    def by_row(chunk):
        return torch.tensor([[row == 7] for row in chunk.rows]).expand_as(chunk.encoded.ids)

    assert moments(pair.side("base"), rows, sites=[site], keep=by_row)[site].n == len(rows[7])


def test_cross_moments_of_two_models_are_those_of_their_rows_run_alone(paired):
    pair, rows = paired("qwen3"), token_rows()
    sites = [resid_post(0), z(1)]
    found = cross_moments(
        pair.side("base"), pair.side("post"), rows, sites=sites, execution=Execution(max_tokens=60)
    )
    for site in sites:
        x, y = (one_by_one(model, rows, site) for model in (pair.base, pair.post))
        expected = np.cov(np.hstack([x, y]), rowvar=False)[: x.shape[1], x.shape[1] :]
        assert np.allclose(found[site].covariance().numpy(), expected, atol=1e-4)


def test_a_model_against_itself_has_its_own_covariance_and_runs_once(paired):
    pair, rows = paired("llama"), token_rows()
    ran = []
    handle = pair.base.blocks[0].register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        found = cross_moments(pair.side("base"), pair.side("base"), rows, sites=[resid_post(1)])
        assert len(ran) == 1
        two = cross_moments(
            pair.side("base"),
            pair.side("base"),
            rows,
            sites=[resid_post(1)],
            post_sites=[resid_pre(1)],
        )
        assert len(ran) == 2
    finally:
        handle.remove()
    own = found[resid_post(1)]
    assert torch.equal(own.scatter, own.x.scatter)
    assert torch.equal(own.scatter, own.y.scatter)
    x, y = (one_by_one(pair.base, rows, site) for site in (resid_post(1), resid_pre(1)))
    expected = np.cov(np.hstack([x, y]), rowvar=False)[:32, 32:]
    assert np.allclose(two[resid_post(1)].covariance().numpy(), expected, atol=1e-4)


def test_bad_questions_are_refused_before_anything_runs(paired):
    pair, rows = paired("llama"), token_rows(5)
    ran = []
    handle = pair.base.blocks[0].register_forward_pre_hook(lambda *_: ran.append(1))
    ask = {"rows": rows}
    try:
        with pytest.raises(CaptureError, match=r"pattern\.0 has as many values"):
            moments(pair.side("base"), sites=[pattern(0)], **ask)
        with pytest.raises(CaptureError, match="twice"):
            moments(pair.side("base"), sites=[z(0), z(0)], **ask)
        with pytest.raises(SiteError, match="layers 0 to 2"):
            moments(pair.side("base"), sites=[z(9)], **ask)
        with pytest.raises(SiteError, match="layers 0 to 2"):
            cross_moments(
                pair.side("base"), pair.side("post"), sites=[z(0)], post_sites=[z(3)], **ask
            )
        with pytest.raises(CaptureError, match="sites has 1 and post_sites has 2"):
            cross_moments(
                pair.side("base"), pair.side("post"), sites=[z(0)], post_sites=[z(0), z(1)], **ask
            )
        with pytest.raises(CaptureError, match="nothing to read"):
            moments(pair.side("base"), sites=[], **ask)
        with pytest.raises(CaptureError, match="no rows"):
            moments(pair.side("base"), [], sites=[z(0)])
    finally:
        handle.remove()
    assert not ran
    with pytest.raises(CaptureError, match="leaves no token of 2 rows"):
        moments(pair.side("base"), [[5], [6]], sites=[z(0)], keep="not_first")
    with pytest.raises(CaptureError, match="mask of torch.int64"):
        moments(pair.side("base"), sites=[z(0)], keep=lambda chunk: chunk.encoded.ids, **ask)


def test_a_model_that_overflows_is_named_with_its_site(paired):
    pair, rows = paired("llama"), token_rows(5)
    weight = pair.base.original_model.model.layers[1].mlp.down_proj.weight
    kept = weight.detach().clone()
    try:
        weight.data.fill_(1e38)
        with pytest.raises(CaptureError, match=r"At resid_post\.1, .* not finite"):
            moments(pair.side("base"), rows, sites=[resid_pre(1), resid_post(1)])
    finally:
        weight.data.copy_(kept)
