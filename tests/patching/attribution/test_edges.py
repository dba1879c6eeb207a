"""Edges out of a sender sum to its node, and foretell what patching one path does."""

import pytest
import torch

from elicit.patching import PatchError, across, within
from elicit.patching.attribution import (
    EdgeScores,
    attribute,
    attribute_edges,
)
from elicit.runs import Execution
from elicit.stats import Inference
from tests.checkpoints import FAMILIES

FEW = {"inference": Inference(n_resamples=100)}
NODES = ("resid_pre.0", "z.heads", "mlp_out")


def summed(edges: EdgeScores) -> dict[str, float]:
    names = ["resid_pre.0" if name == "embed" else name for name in edges.sender]
    return dict(zip(names, edges.score.value.nansum(1).tolist(), strict=True))


@pytest.mark.parametrize("architecture", [*FAMILIES, "gpt_neox"])
def test_edges_out_of_a_sender_sum_to_its_node(paired, contrast, architecture):
    pair = paired(architecture)
    nodes = attribute(pair, contrast(pair), within(sites=NODES, positions="all"), **FEW)
    out = summed(attribute_edges(pair, contrast(pair), within(), **FEW))
    for site, score in zip(nodes.site, nodes.score.value[:, 0].tolist(), strict=True):
        assert out[site] == pytest.approx(score, abs=2e-6, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gpt_neox", "gemma2"])
def test_integrated_edges_sum_to_the_integrated_node_and_to_the_gap(paired, contrast, architecture):
    pair = paired(architecture)
    swap = within(sites=NODES, positions="all")
    nodes = attribute(pair, contrast(pair), swap, method="ig_inputs", steps=8, **FEW)
    edges = attribute_edges(pair, contrast(pair), within(), steps=8, **FEW)
    out = summed(edges)
    for site, score in zip(nodes.site, nodes.score.value[:, 0].tolist(), strict=True):
        assert out[site] == pytest.approx(score, abs=2e-6, rel=1e-4)
    one = summed(attribute_edges(pair, contrast(pair), within(), **FEW))
    assert abs(out["resid_pre.0"] - edges.gap.value) < abs(one["resid_pre.0"] - edges.gap.value)


def test_edges_across_sum_to_nodes_across(paired, contrast):
    pair = paired("gpt2")
    nodes = attribute(
        pair, contrast(pair), across(sites=["z.heads", "mlp_out"], positions="all"), **FEW
    )
    out = summed(attribute_edges(pair, contrast(pair), across(), **FEW))
    for site, score in zip(nodes.site, nodes.score.value[:, 0].tolist(), strict=True):
        assert out[site] == pytest.approx(score, abs=2e-6, rel=1e-4)


@pytest.mark.parametrize(
    "architecture",
    [
        "gpt2",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("gpt_neox", "qwen3", "gemma3_text", "olmo2")
        ),
    ],
)
def test_edges_equal_patched_paths_where_models_hardly_differ(close_pair, contrast, architecture):
    pair = close_pair(architecture)
    found = attribute_edges(pair, contrast(pair).subset(2, seed=0), across(), exact=10, **FEW)
    assert found.exact is not None
    known = ~found.score.value.isnan()
    assert torch.equal(known, ~found.exact.isnan())
    off = (found.score.value - found.exact)[known].abs().max()
    assert off < 5e-3 * found.exact[known].abs().max()
    assert found.agreement is not None
    assert found.agreement.spearman > 0.99


def test_memory_is_bounded_and_no_budget_changes_a_score(paired, contrast, monkeypatch):
    from elicit.patching.attribution import _edge_scores as edges

    pair = paired("gpt2")
    whole = attribute_edges(pair, contrast(pair), within(), **FEW)
    sizes = []
    real = torch.einsum

    def watched(told, *tensors):
        if told == "rpsd,rpvd->svr":
            sizes.extend(each.numel() for each in tensors)
        return real(told, *tensors)

    monkeypatch.setattr(edges.torch, "einsum", watched)
    one = 2 * len(contrast(pair).clean[0]) * pair.d_model
    for budget in (2 * one, 1):  # numbers of 4 bytes
        sizes.clear()
        small = attribute_edges(
            pair, contrast(pair), within(), execution=Execution(memory=4 * budget), **FEW
        )
        assert max(sizes) <= max(budget, one)
        assert torch.allclose(small.score.value, whole.score.value, atol=1e-6, equal_nan=True)
    assert max(sizes) < 4 * one


def test_there_are_edges_to_everything_later_and_to_nothing_else(paired, contrast):
    for architecture, own_heads in (("gpt_neox", False), ("llama", True)):
        pair = paired(architecture)
        found = attribute_edges(pair, contrast(pair), within(), **FEW)
        row, column = found.sender.index, found.receiver.index
        known = ~found.score.value.isnan()
        assert bool(known[row("embed")].all())
        assert bool(known[:, column("logits")].all())
        assert bool(known[row("z.1.2"), column("mlp.1")]) == own_heads
        assert not known[row("z.1.2"), column("q.1.0")]
        assert not known[row("mlp_out.1"), column("mlp.1")]
        assert bool(known[row("mlp_out.1"), column("k.2.1")])
        assert not known[row("z.2.0"), column("v.1.0")]
        n_kv = 4 if architecture == "gpt_neox" else 2
        assert sum(name.startswith("k.0.") for name in found.receiver) == n_kv


def test_largest_edges_come_first_and_are_saved_and_drawn(paired, contrast, tmp_path):
    pair = paired("llama")
    found = attribute_edges(pair, contrast(pair).subset(2, seed=0), within(), exact=5, **FEW)
    sizes = [abs(score) for _, _, score in found.largest(1000)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == int((~found.score.value.isnan()).sum())
    again = EdgeScores.load(found.save(tmp_path / "e"))
    assert torch.equal(again.score.value.nan_to_num(7), found.score.value.nan_to_num(7))
    assert again.agreement == found.agreement
    assert len(found.figure().data[0].y) == 30


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"exact": -1}])
def test_options_out_of_range_are_refused(paired, contrast, wrong):
    pair = paired("llama")
    with pytest.raises(PatchError, match=next(iter(wrong))):
        attribute_edges(pair, contrast(pair), within(), **wrong)


@pytest.mark.parametrize("where", [{"sites": ["z"]}, {"positions": "last"}])
def test_a_choice_of_cells_is_refused_where_every_edge_is_scored(paired, contrast, where):
    pair = paired("llama")
    with pytest.raises(PatchError, match=next(iter(where))):
        attribute_edges(pair, contrast(pair), within(**where))


def test_across_there_is_no_path_between_inputs(paired, contrast):
    pair = paired("llama")
    with pytest.raises(PatchError, match="steps is 2"):
        attribute_edges(pair, contrast(pair), across(), steps=2)
