"""Models whose weights are elsewhere between two calls compute what they compute in memory."""

import importlib

import pytest
import torch

from elicit.capture import Lanes, capture, decompose, kept_sites, read_sites, run_lanes, run_trunk
from elicit.capture.unembed import Moved
from elicit.pair import Encoded, PairError, device_of, is_offloaded, load_pair, offload
from elicit.rollouts import continue_ids
from elicit.sites import resid_post
from elicit.weights import PartError, changed_slots

IDS = torch.tensor([[5, 9, 12, 7], [30, 8, 11, 6]])
BATCH = Encoded(IDS, torch.ones_like(IDS), torch.arange(4).expand_as(IDS).contiguous())


def found(bridge):
    """Whole forwards, layers one by one, lanes and texts."""
    site = resid_post(1)
    with torch.no_grad():
        whole = capture(bridge, IDS, sites=[site], logits=True)
        parts = decompose(bridge)
        blocks = read_sites(parts, BATCH, [site])[site]
        zero = torch.zeros(2, dtype=torch.long)
        lanes = Lanes(
            row=torch.tensor([0, 1]),
            low=zero + 1,
            high=zero + 2,
            group=zero,
            groups=((site,),),
            source_row=torch.tensor([1, 0]),
        )
        trunk = run_trunk(parts, BATCH, keep=kept_sites(lanes.groups))
        reads = torch.full((2, 1), 3)
        (flown,) = run_lanes(trunk, lanes, {site: trunk.value(site)}, reads)
        told = parts.unembed.logits_of(flown.resid[:, 0], torch.tensor([[7, 8], [7, 8]]))
        written = continue_ids(
            bridge.original_model,
            IDS,
            torch.ones_like(IDS),
            max_new_tokens=5,
            stop_ids=(),
            pad_id=0,
        )
    return whole.logits, whole.at[site], blocks, flown.resid, told, written.double()


@pytest.mark.parametrize("where", ["host memory", "disk"])
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "qwen3"])
def test_an_offloaded_model_computes_what_it_computes_in_memory(
    architecture, where, written, tmp_path
):
    pair = load_pair(written(architecture, seed=1), written(architecture, seed=2))
    before = found(pair.post)
    for name in ("base", "post"):
        folder = tmp_path / name if where == "disk" else None
        offload(getattr(pair, name), "cpu", folder=folder)
    assert is_offloaded(pair.post) and all(p.is_meta for p in pair.post.parameters())
    assert device_of(pair.post).type == "cpu"
    for ours, there in zip(found(pair.post), before, strict=True):
        assert (ours - there).abs().max() <= 1e-6
    with pytest.raises(PartError, match="share_weights"):
        changed_slots(pair)


def test_layers_on_another_device_are_called_from_that_of_the_stream(paired, monkeypatch):
    bridge = paired("llama").base
    before = found(bridge)
    module = importlib.import_module("elicit.capture.engine.decompose")
    # One processor has no second device: every part is called as if it were on one.
    monkeypatch.setattr(module, "_here", lambda part, home: Moved(part, home))
    assert isinstance(decompose(bridge).layers[0].q, Moved)
    for ours, there in zip(found(bridge), before, strict=True):
        assert torch.equal(ours, there)


def test_split_projections_are_refused_before_anything_is_moved(written):
    pair = load_pair(written("gpt2", seed=1), written("gpt2", seed=2))
    with pytest.raises(PairError, match="c_attn"):
        offload(pair.base, "cpu")
    assert not is_offloaded(pair.base)
