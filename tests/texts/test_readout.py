"""Statistics of blocks of logits, against scipy, plain formulas and the cases that break them."""

import math

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy
from torch import nn

from elicit import metrics
from elicit.capture import Unembed
from elicit.texts import LogitBuffers, Readout, TextError, model_divergences, tokens_per_block

D_MODEL, N = 24, 37


def head(d_vocab=301, *, dtype=torch.float32, softcap=None, bias=None, scale=1.0) -> Unembed:
    unembed = nn.Linear(D_MODEL, d_vocab, bias=bias is not None, dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        unembed.weight.copy_(torch.randn(d_vocab, D_MODEL, generator=generator) * scale)
        if bias is not None:
            unembed.bias.copy_(bias)
    return Unembed(norm=nn.Identity(), projection=unembed, softcap=softcap, d_vocab=d_vocab)


def states(seed: int, dtype=torch.float32, scale=0.3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(N, D_MODEL, generator=generator) * scale).to(dtype)


@torch.no_grad()
def read(used: Unembed, here, last):
    room = Readout(used, N)
    final = room.final(last, torch.empty(used.d_vocab, N, dtype=room.wide))
    return room.read(here, final), final


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_divergences_equal_scipy_in_float64(scale):
    used = head(dtype=torch.float64, scale=scale)
    here, last = states(1, torch.float64), states(2, torch.float64)
    reading, _ = read(used, here, last)
    with torch.no_grad():
        p, q = (torch.softmax(used.logits(x), -1).numpy() for x in (last, here))
    jsd = torch.tensor([jensenshannon(a, b) ** 2 for a, b in zip(p, q, strict=True)])
    kl = torch.tensor([scipy_entropy(a, b) for a, b in zip(p, q, strict=True)])
    h = torch.tensor([scipy_entropy(b) for b in q])
    assert (reading.jsd - jsd).abs().max() < 1e-12
    assert ((reading.kl - kl).abs() / (1 + kl)).max() < 1e-12
    assert (reading.entropy - h).abs().max() < 1e-12


@pytest.mark.parametrize(
    "options", [{}, {"softcap": 3.0}, {"bias": torch.linspace(-2, 2, 301)}, {"scale": 20.0}]
)
def test_float32_agrees_with_plain_formulas_in_float64(options):
    used = head(**options)
    here, last = states(1), states(2)
    reading, final = read(used, here, last)
    with torch.no_grad():
        p, q = (metrics.log_probs(used.logits(x).double()) for x in (last, here))
    assert (reading.jsd - metrics.jsd(p, q)).abs().max() < 1e-5
    assert ((reading.kl - metrics.kl(p, q)).abs() / (1 + metrics.kl(p, q))).max() < 1e-5
    assert (reading.entropy - metrics.entropy(q)).abs().max() < 1e-5
    assert (final.entropy - metrics.entropy(p)).abs().max() < 1e-5
    top = p.argmax(-1)
    assert torch.equal(final.top, top)
    own = q.gather(-1, top[:, None])
    assert torch.equal(reading.rank, (q > own).sum(-1))
    assert (reading.prob - own[:, 0].exp()).abs().max() < 1e-5
    wanted = used.logits(here).logsumexp(-1)
    assert (reading.log_norm - wanted).abs().max() < 1e-4


def test_a_prediction_does_not_diverge_from_itself_and_divergence_is_symmetric():
    used, here, last = head(scale=3.0), states(1), states(2)
    one, _ = read(used, here, last)
    other, _ = read(used, last, here)
    same, _ = read(used, last, last)
    assert (one.jsd - other.jsd).abs().max() < 1e-6
    assert same.jsd.max() < 1e-6 and same.kl.max() < 1e-6 and not same.rank.any()
    assert one.jsd.min() >= 0 and one.jsd.max() <= math.log(2)


def test_predictions_that_share_nothing_diverge_by_ln_2():
    used = head(scale=1.0)
    with torch.no_grad():
        used.projection.weight.zero_()
        used.projection.weight[3, 0] = used.projection.weight[8, 1] = 1.0
    here, last = torch.zeros(N, D_MODEL), torch.zeros(N, D_MODEL)
    here[:, 0], last[:, 1] = 400.0, 400.0
    reading, _ = read(used, here, last)
    assert torch.allclose(reading.jsd, torch.full((N,), math.log(2)))
    assert torch.allclose(reading.kl, torch.full((N,), 400.0))
    assert torch.equal(reading.rank, torch.ones(N, dtype=torch.long))


@pytest.mark.parametrize("masked", [[5], list(range(100, 200))])
def test_masked_logits_are_exact(masked):
    bias = torch.zeros(301)
    bias[masked] = -torch.inf
    used = head(bias=bias)
    here, last = states(1), states(2)
    reading, final = read(used, here, last)
    keep = torch.ones(301, dtype=torch.bool)
    keep[masked] = False
    with torch.no_grad():
        p, q = (metrics.log_probs(used.logits(x)[:, keep].double()) for x in (last, here))
    assert (reading.jsd - metrics.jsd(p, q)).abs().max() < 1e-5
    assert (reading.kl - metrics.kl(p, q)).abs().max() < 1e-5
    assert (reading.entropy - metrics.entropy(q)).abs().max() < 1e-5
    assert not final.probs[masked].any()


def test_a_layer_that_rules_out_what_is_final_has_infinite_kl_and_finite_jsd():
    used = head()
    here, last = states(1), states(2)
    with torch.no_grad():
        room = Readout(used, N)
        final = room.final(last, torch.empty(301, N))
        used.projection.register_parameter("bias", nn.Parameter(torch.zeros(301)))
        used.projection.bias[final.top[0]] = -torch.inf
        reading = room.read(here, final)
        p = final.probs.T.double()
        q = torch.softmax(used.logits(here).double(), -1)
    assert reading.kl.isinf().all()
    jsd = torch.tensor(
        [jensenshannon(a, b) ** 2 for a, b in zip(p.numpy(), q.numpy(), strict=True)]
    )
    assert (reading.jsd - jsd).abs().max() < 1e-5
    assert reading.prob[0] == 0


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_logits_that_are_no_prediction_are_refused(bad):
    used = head()
    here = states(1)
    here[4, 2] = bad
    with pytest.raises(TextError, match="1 of 37 tokens"):
        read(used, here, states(2))
    with pytest.raises(TextError, match="1 of 37 tokens"):
        read(used, states(2), here)


def test_half_precision_rounds_logits_as_the_model_does_and_sums_in_float32():
    used = head(dtype=torch.bfloat16)
    here, last = states(1, torch.bfloat16), states(2, torch.bfloat16)
    reading, _ = read(used, here, last)
    with torch.no_grad():
        p, q = (metrics.log_probs(used.logits(x).double()) for x in (last, here))
    assert reading.jsd.dtype == torch.float32
    assert (reading.jsd - metrics.jsd(p, q)).abs().max() < 1e-5


def test_two_models_equal_logits_have_divergence_exactly_0_and_others_the_plain_one():
    used, other = head(), head(scale=1.1)
    with torch.no_grad():
        a, b = used.logits(states(1)).T.contiguous(), other.logits(states(2)).T.contiguous()
    same = model_divergences(a, a.clone())
    for value in (same.kl_base_post, same.kl_post_base, same.jsd_base_post):
        assert not value.any()
    found = model_divergences(a, b)
    p, q = metrics.log_probs(a.T.double()), metrics.log_probs(b.T.double())
    assert (found.kl_base_post - metrics.kl(p, q)).abs().max() < 1e-5
    assert (found.kl_post_base - metrics.kl(q, p)).abs().max() < 1e-5
    assert (found.jsd_base_post - metrics.jsd(p, q)).abs().max() < 1e-5
    masked = b.clone()
    masked[7] = -torch.inf
    lost = model_divergences(a, masked)
    assert lost.kl_base_post.isinf().all() and lost.kl_post_base.isfinite().all()
    q = metrics.log_probs(masked.T.double())
    assert (lost.jsd_base_post - metrics.jsd(p, q)).abs().max() < 1e-5


def test_blocks_stay_within_their_budget():
    assert tokens_per_block(50_257, memory=2**28, buffers=2) * 50_257 * 8 <= 2**28
    assert tokens_per_block(301, memory=301 * 8, buffers=2) == 1
    with pytest.raises(TextError, match="rows of 301 ids"):
        tokens_per_block(301, memory=301 * 8 - 1, buffers=2)


def settle(buffers, read_block):
    with torch.no_grad():
        return buffers.settled(read_block)


def test_a_block_that_is_checked_as_a_whole_is_read_as_layer_by_layer():
    """With a layer that rules ids out among others that do not."""
    used, last = head(bias=torch.linspace(-2, 2, 301)), states(1)
    used.projection.bias.requires_grad_(False)[7] = -torch.inf
    layers = [states(seed) for seed in (2, 3)]
    buffers, blocks = LogitBuffers([used], memory=2**20, n_tokens=N), []

    def block():
        blocks.append(1)
        (room,) = buffers.readouts
        final = room.final(last, buffers.probs(N))
        return [room.read(layer, final) for layer in layers]

    found = settle(buffers, block)
    assert len(blocks) == 2, "what is -inf is met once, and the block read again"
    assert len(settle(buffers, block)) == 2 and len(blocks) == 3
    for layer, reading in zip(layers, found, strict=True):
        alone, _ = read(used, layer, last)
        for name in ("jsd", "kl", "entropy", "rank", "prob", "log_norm"):
            assert torch.equal(getattr(reading, name), getattr(alone, name)), name


def test_a_block_is_refused_at_its_end_for_the_first_prediction_that_is_none():
    used, broken = head(), states(2)
    broken[4, 2], worse = torch.nan, states(3)
    worse[:9] = torch.nan
    buffers, ended = LogitBuffers([used], memory=2**20, n_tokens=N), []

    def block():
        (room,) = buffers.readouts
        final = room.final(states(1), buffers.probs(N))
        for layer in (broken, worse):
            room.read(layer, final)
        ended.append(1)

    with pytest.raises(TextError, match="1 of 37 tokens"):
        settle(buffers, block)
    assert ended
    # Nothing of the block is left: what is read next answers for itself, at once.
    (room,) = buffers.readouts
    with pytest.raises(TextError, match="9 of 37 tokens"), torch.no_grad():
        room.final(worse, buffers.probs(N))


def test_a_bias_is_looked_at_once_in_a_block_and_anew_in_the_next(monkeypatch):
    used, last = head(bias=torch.zeros(301)), states(1)
    buffers, looked, bias = LogitBuffers([used], memory=2**20, n_tokens=N), [], Unembed.bias.fget
    monkeypatch.setattr(Unembed, "bias", property(lambda self: looked.append(1) or bias(self)))
    (room,) = buffers.readouts

    def block():
        return [room.project(last).clone() for _ in range(2)]

    plain, _ = settle(buffers, block)
    with torch.no_grad():
        used.projection.bias[3] = 2.0
    for shifted in settle(buffers, block):
        assert torch.equal(shifted[3], plain[3] + 2.0) and torch.equal(shifted[4:], plain[4:])
    assert len(looked) == 2
