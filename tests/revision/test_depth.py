"""Depths: a table computed by hand, a planted model, each public implementation's convention."""

import math

import pytest
import torch

from elicit.capture import capture
from elicit.revision import (
    CONVENTIONS,
    DepthConvention,
    RevisionError,
    deep_thinking,
    deep_tokens,
    settling,
    settling_depth,
)
from elicit.sites import resid_post, resid_pre
from tests.revision import oracle

# Divergences in bits: embedding, four blocks; the last is the final prediction.
BITS = torch.tensor(
    [
        [0.9, 0.1, 0.8, 0.9, 0.6],
        [0.4, 0.8, 0.6, 0.9, 0.6],
        [0.6, 0.3, 0.2, 0.7, 0.6],
        [0.3, 0.6, 0.1, 0.6, 0.7],
        [0.0, 0.0, 0.0, 0.0, 0.0],
    ]
)


@pytest.mark.parametrize(
    ("changes", "depth", "deep"),
    [
        ({}, [1, 2, 2, 4, 4], [0, 0, 0, 1, 1]),
        ({"reading": "last_exit"}, [3, 4, 2, 4, 4], [0, 1, 0, 1, 1]),
        ({"layers": "embedding_and_blocks"}, [1, 0, 2, 4, 4], [0, 0, 0, 1, 1]),
        ({"rho": 0.5}, [1, 2, 2, 4, 4], [0, 1, 1, 1, 1]),
        ({"threshold": 0.65}, [1, 2, 1, 3, 1], [0, 0, 0, 0, 0]),
        # 0.5 nats are 0.72 bits: other tokens settle.
        ({"unit": "nats"}, [1, 2, 1, 2, 1], [0, 0, 0, 0, 0]),
        ({"unit": "nats", "reading": "last_exit"}, [1, 2, 1, 2, 1], [0, 0, 0, 0, 0]),
    ],
)
def test_depths_are_those_of_a_table_computed_by_hand(changes, depth, deep):
    jsd = BITS * math.log(2)
    convention = DepthConvention(**changes)
    assert settling_depth(jsd, convention).tolist() == depth
    assert deep_tokens(jsd, convention).int().tolist() == deep


def test_a_running_minimum_changes_no_first_hit():
    jsd = torch.rand(9, 500, generator=torch.Generator().manual_seed(0)) * math.log(2)
    smallest = jsd.cummin(0).values
    for threshold in (0.1, 0.3, 0.5, 0.9):
        every = {"threshold": threshold, "layers": "embedding_and_blocks"}
        convention = DepthConvention(**every)
        first = settling_depth(jsd, convention)
        assert torch.equal(first, settling_depth(smallest, convention))
        # Of what never rises again, the first hit is the last exit.
        stays = DepthConvention(**every, reading="last_exit")
        assert torch.equal(first, settling_depth(smallest, stays))


def test_deep_begins_at_the_ceiling_and_not_one_later_for_rounding():
    starts = {
        (0.85, 12): 11,
        (0.85, 36): 31,
        (0.85, 6): 6,
        (0.85, 20): 17,
        (0.7, 10): 7,
        (1.0, 4): 4,
    }
    assert {key: DepthConvention(rho=key[0]).deep_from(key[1]) for key in starts} == starts


def test_planted_depths_are_found_exactly(depth_pair, depth_traces):
    for reading, truth in (("first_hit", oracle.FIRST_HIT), ("last_exit", oracle.LAST_EXIT)):
        convention = DepthConvention(reading=reading)
        found = settling(depth_pair, depth_traces, convention=convention)
        planted = oracle.planted(truth)
        assert torch.equal(found.depth[0], planted)
        assert torch.equal(found.depth[1], planted)
        # Deep from layer 7 of 8: one class of six by the first hit, two by the last exit.
        assert found.deep_from == 7
        assert (
            found.dtr.value[0].tolist()
            == [pytest.approx(1 / 6 if reading == "first_hit" else 2 / 6)] * 2
        )
        early = deep_thinking(depth_pair, depth_traces, convention=convention, depths=True)
        assert torch.equal(early.depth, planted)
        assert torch.equal(early.deep, planted >= 7)


def test_planted_divergences_are_all_or_nothing(depth_pair, depth_traces):
    found = settling(depth_pair, depth_traces)
    near = torch.arange(9)[:, None] >= oracle.planted(oracle.FIRST_HIT)
    once = torch.tensor([t != 14 for t in oracle.rows()[0][1:]])
    jsd = found.jsd[0][1:, once]
    assert jsd[near[1:, once]].max() < 1e-5
    assert jsd[~near[1:, once]].min() > 0.69


def reference(model, rows, *, norm: str, unit: str) -> torch.Tensor:
    """Divergences of every block's state as a reader of that convention has them, plainly."""
    ids = torch.tensor(rows)
    n_layers = len(model.blocks)
    sites = [resid_pre(0), *map(resid_post, range(n_layers))]
    with torch.no_grad():
        at = capture(model, ids, sites=sites).at
        # As Hugging Face hands them out: the last hidden state is normed already.
        hidden = [at[site] for site in sites]
        normed = [model.ln_final(h) for h in hidden]
        if norm == "none":
            read, last = hidden, hidden[-1]
        elif norm == "once":
            read, last = normed, normed[-1]
        else:
            read, last = [*normed[:-1], model.ln_final(normed[-1])], model.ln_final(normed[-1])
        p = torch.softmax(model.unembed(last).double(), -1)
        found = []
        for state in read:
            q = torch.softmax(model.unembed(state).double(), -1)
            m = (p + q) / 2
            both = [(x * (x / m).log()).nan_to_num().sum(-1) for x in (p, q)]
            found.append((both[0] + both[1]) / 2)
    jsd = torch.stack(found)[:, 0]
    return jsd / math.log(2) if unit == "bits" else jsd


@pytest.mark.parametrize("name", list(CONVENTIONS))
def test_each_public_convention_gives_its_own_depths(name, organism, given_of):
    pair, traces = organism("rl"), given_of("rl", 4)
    convention = CONVENTIONS[name]
    found = settling(pair, traces, convention=convention)
    for row in range(len(traces)):
        own = found.row == row
        jsd = reference(pair.post, [traces.rows[row]], norm=convention.norm, unit=convention.unit)
        jsd = jsd[:, found.pos[own]]
        # The rule as they all write it, in the unit of their own threshold.
        near = jsd[1:-1] <= convention.threshold
        layers = torch.arange(1, pair.n_layers)[:, None]
        depth = torch.where(near, layers, pair.n_layers).amin(0)
        assert torch.equal(found.depth[1][own], depth)
        ours = found.jsd[1][:, own] / (math.log(2) if convention.unit == "bits" else 1)
        assert (ours - jsd).abs().max() < 1e-5


def test_conventions_do_not_agree_on_one_text(organism, given_of):
    pair, traces = organism("rl"), given_of("rl", 8)
    shares = {
        str(c): settling(pair, traces, convention=c).dtr.value[0, 1].item()
        for c in CONVENTIONS.values()
    }
    assert len(set(shares.values())) == len(shares) == 4
    assert max(shares.values()) - min(shares.values()) > 0.05


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"threshold": 0.75, "unit": "nats"}, "0.75 nats"),
        ({"threshold": 1.0}, "1.0 bits"),
        ({"threshold": -0.1}, "-0.1 bits"),
        ({"threshold": float("nan")}, "nan bits"),
        ({"rho": 0.0}, "rho is 0.0"),
        ({"rho": 1.2}, "rho is 1.2"),
    ],
)
def test_a_convention_that_no_divergence_meets_is_refused(changes, told):
    with pytest.raises(RevisionError, match=told):
        DepthConvention(**changes)


@pytest.mark.parametrize("name", ["unit", "reading", "norm", "layers"])
def test_words_that_no_convention_knows_are_refused(name):
    # Past the type checker of the tests, as users are who run none.
    made = DepthConvention()
    object.__setattr__(made, name, "stays")
    with pytest.raises(RevisionError, match=f"{name} is 'stays'"):
        made.__post_init__()


def test_a_model_with_too_few_layers_for_rho_is_refused(written):
    from elicit.pair import load_pair

    pair = load_pair(written("llama", seed=1, n_layers=1), written("llama", seed=2, n_layers=1))
    with pytest.raises(RevisionError, match="deep"):
        settling(pair, ["the dog is red"])
    with pytest.raises(RevisionError, match="deep"):
        DepthConvention(rho=0.2).deep_from(5)


def test_divergences_that_are_none_are_refused():
    with pytest.raises(RevisionError, match="NaN"):
        settling_depth(torch.tensor([[0.1], [torch.nan], [0.0]]), DepthConvention())
    with pytest.raises(RevisionError, match="1"):
        settling_depth(torch.zeros(1, 3), DepthConvention())
