"""Saturated attention and cancelling paths hide nodes from AtP, and the repairs find them."""

import pytest
import torch

from elicit.capture import Heads, decompose
from elicit.pair import load_pair
from elicit.patching import PatchError, patch, within
from elicit.patching.attribution import attribute
from elicit.patching.attribution._softmax import key_scores, one_key_scores, scores_of
from elicit.stats import Inference

FEW = {"inference": Inference(n_resamples=100)}


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0, 2000.0])
def test_one_key_replaced_is_the_softmax_with_that_score_replaced(size):
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randn(2, 3, 6, 6, generator=generator, dtype=torch.float64)  # noqa: E731
    hidden = ~torch.ones(6, 6, dtype=torch.bool).tril()
    scores = (size * draw()).masked_fill(hidden, -torch.inf)
    changed = (size * draw()).masked_fill(hidden, -torch.inf)
    slope = draw()
    found = one_key_scores(scores, changed, slope)
    for place in range(6):
        mixed = scores.clone()
        mixed[..., place] = changed[..., place]
        expected = ((mixed.softmax(-1) - scores.softmax(-1)) * slope).sum((-1, -2))
        assert torch.allclose(found[..., place], expected, atol=1e-12)


@pytest.mark.parametrize("architecture", ["gpt2", "gemma2", "qwen3"])
def test_keys_one_by_one_are_keys_in_columns_of_one(paired, architecture):
    layer = decompose(paired(architecture).base).layers[1]
    generator = torch.Generator().manual_seed(1)
    n_heads, n_kv = layer.shape.n_heads, layer.shape.n_kv_heads
    q, slope = (torch.randn(2, 5, n_heads, 8, generator=generator) for _ in range(2))
    k, v, theirs = (torch.randn(2, 5, n_kv, 8, generator=generator) for _ in range(3))
    allowed = torch.ones(1, 5, 5, dtype=torch.bool).tril()
    heads = Heads(3 * q, 3 * k, v)
    each = torch.eye(5, dtype=torch.float64).expand(2, 5, 5)
    alone = key_scores(layer, heads, 3 * theirs, slope, allowed, each)
    pairs = torch.cat([each, each[:, :1] + each[:, 1:2]], dim=1)  # the last column has two
    together = key_scores(layer, heads, 3 * theirs, slope, allowed, pairs)
    assert torch.allclose(together[:, :5], alone, atol=1e-5)
    assert not torch.allclose(together[:, 5], alone[:, :2].sum(1), atol=1e-3)


def test_scores_are_the_models_own_attention(paired):
    for architecture in ("llama", "gemma2"):
        layer = decompose(paired(architecture).base).layers[0]
        q, k = torch.randn(1, 4, 4, 8), torch.randn(1, 4, 2, 8)
        allowed = torch.ones(1, 4, 4, dtype=torch.bool).tril()
        assert torch.allclose(
            scores_of(layer, q, k, allowed).softmax(-1), layer.pattern(q, k, allowed), atol=1e-6
        )


def saturated(architecture, layer):
    """An edit: attention of one layer has all its weight on one place, and says it softly."""

    def edit(model):
        inner = model.transformer.h if architecture == "gpt2" else model.model.layers
        if architecture == "gpt2":
            attn = inner[layer].attn
            attn.c_attn.weight[:, :64] *= 40
            attn.c_proj.weight *= 0.003
        else:
            attn = inner[layer].self_attn
            attn.q_proj.weight *= 40
            attn.k_proj.weight *= 40
            attn.o_proj.weight *= 0.003

    return edit


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_queries_and_keys_of_a_saturated_head_are_found_by_their_patterns_alone(
    written, contrast, architecture
):
    pair = load_pair(
        written(architecture, seed=1, edit=saturated(architecture, 1)),
        written(architecture, seed=2),
        dtype=torch.float64,
        check_parity=False,  # it stumbles over float64 and rotary angles
    )
    for kind in ("q", "k"):
        swap = within(sites=[f"{kind}.1.heads"])
        missed = attribute(pair, contrast(pair), swap, method="atp", exact=10, **FEW)
        found = attribute(pair, contrast(pair), swap, method="qk_fix", exact=10, **FEW)
        assert missed.exact is not None
        assert found.exact is not None
        assert found.agreement is not None
        assert missed.agreement is not None
        peak = divmod(int(found.exact.abs().argmax()), found.exact.shape[1])
        truth = found.exact[peak].item()
        assert found.score.value[peak].item() == pytest.approx(truth, rel=0.05)
        assert abs(missed.score.value[peak].item() - truth) > 0.8 * abs(truth)
        assert found.agreement.spearman > 0.95
        assert found.agreement.spearman > missed.agreement.spearman


def test_the_fix_leaves_all_other_sites_as_they_are(paired, contrast):
    pair = paired("phi3")
    sites = ["resid_pre", "z.heads", "v.heads", "mlp_out"]
    one, two = (
        attribute(pair, contrast(pair), within(sites=sites), method=m, **FEW)
        for m in ("atp", "qk_fix")
    )
    assert torch.equal(one.score.value, two.score.value)


def test_a_node_whose_paths_cancel_is_found_by_dropping_gradients(written, contrast):
    pair = load_pair(
        written("gpt2", seed=4), written("gpt2", seed=2), dtype=torch.float64, check_parity=False
    )
    layers = decompose(pair.base).layers
    given, swap = contrast(pair), within(sites=["mlp_out.0"], positions="last")
    with torch.no_grad():
        # The first MLP speaks to the logits, and to the second MLP, which may speak against it.
        for module in (layers[1].o, layers[2].o, layers[2].down):
            module.weight.zero_()
    weight = layers[1].down.weight
    whole = weight.detach().clone()

    def score(scale: float) -> float:
        with torch.no_grad():
            weight.copy_(scale * whole)
        return attribute(pair, given, swap, **FEW).score.value.item()

    low, high = -8.0, 8.0
    at_low = score(low)
    assert at_low * score(high) < 0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle) * at_low > 0 else (low, middle)
    truth = patch(pair, given, swap, controls=(), **FEW).effect.value.abs().item()
    assert abs(score(low)) < 1e-4 < 0.01 < truth
    assert attribute(pair, given, swap, method="grad_drop", **FEW).score.value.item() > truth


def test_dropped_gradients_are_sizes_and_no_layer_counts_its_own(paired, contrast):
    pair = paired("llama")
    found = attribute(
        pair, contrast(pair), within(sites=["mlp_out.2", "resid_post.2"]), method="grad_drop", **FEW
    )
    plain = attribute(pair, contrast(pair), within(sites=["mlp_out.2", "resid_post.2"]), **FEW)
    assert not found.signed
    assert plain.by_problem is not None
    # Nothing above the last layer can be dropped: each of the others leaves its gradient alone.
    assert torch.allclose(found.score.value, plain.by_problem.abs().mean(0), atol=1e-6)


def test_both_repairs_at_once_are_both(paired, contrast):
    pair = paired("mistral")
    swap = within(sites=["q.2.heads", "mlp_out.0"])
    both = attribute(pair, contrast(pair), swap, method="atp_star", **FEW)
    fixed = attribute(pair, contrast(pair), swap, method="qk_fix", **FEW)
    dropped = attribute(pair, contrast(pair), swap, method="grad_drop", **FEW)
    assert fixed.by_problem is not None
    assert torch.allclose(both.score.value[:-1], fixed.by_problem[:, :-1].abs().mean(0), atol=1e-6)
    assert torch.allclose(both.score.value[-1], dropped.score.value[-1], atol=1e-6)


@pytest.mark.parametrize("wrong", [{"method": "atp_max"}, {"steps": 0}, {"exact": -1}])
def test_options_out_of_range_are_refused(paired, contrast, unchecked, wrong):
    pair = paired("llama")
    with pytest.raises(PatchError, match=next(iter(wrong))):
        attribute(pair, contrast(pair), within(), **wrong)
