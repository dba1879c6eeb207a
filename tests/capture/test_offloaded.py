"""Models whose weights are elsewhere between two calls compute what they compute in memory."""

import copy
import importlib

import pytest
import torch

from elicit.capture import Lanes, capture, decompose, kept_sites, read_sites, run_lanes, run_trunk
from elicit.capture.unembed import Moved
from elicit.pair import (
    Encoded,
    Loading,
    PairError,
    device_of,
    hugging_face_model,
    is_offloaded,
    load_pair,
    offload,
    parameter_groups,
    placement,
)
from elicit.rollouts import continue_ids
from elicit.sites import resid_post
from elicit.weights import PartError, changed_slots, grafted, part, reverted, slots_of

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
    assert whole.logits is not None
    return whole.logits, whole.at[site], blocks, flown.resid, told, written.double()


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "qwen3"])
def test_a_model_on_disk_computes_what_it_computes_in_memory(architecture, written, tmp_path):
    pair = load_pair(written(architecture, seed=1), written(architecture, seed=2))
    before = found(pair.post)
    for name in ("base", "post"):
        offload(getattr(pair, name), "cpu", folder=tmp_path / name)
    assert is_offloaded(pair.post) and all(p.is_meta for p in pair.post.parameters())
    assert device_of(pair.post).type == "cpu"
    for ours, there in zip(found(pair.post), before, strict=True):
        assert (ours - there).abs().max() <= 1e-6
    with pytest.raises(PartError, match="offload=True"):
        changed_slots(pair)


@pytest.fixture
def other_numbers(monkeypatch):
    """Load a pair in host memory whose numbers there are twice those on the device.

    One processor has no second device. So that nothing can read a weight past the way to it, what
    is kept is doubled and what arrives is halved, both without rounding.
    """
    monkeypatch.setattr(placement, "_placed", lambda kept, _device: kept / 2)

    def load(base, post, **loading):
        pair = load_pair(base, post, loading=Loading(offload=True, **loading))
        parts = [
            each
            for side in (pair.base, pair.post)
            for group in parameter_groups(side).values()
            for each in group.all
        ]
        # Pieces of a split projection may lie in one storage with it.
        for each in {each.untyped_storage().data_ptr(): each for each in parts}.values():
            each.data.new_empty(0).set_(each.untyped_storage()).mul_(2)
        return pair

    return load


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2", "phi3", "gpt_neox"])
def test_in_host_memory_every_read_weights_swap_and_gradient_is_the_same(
    architecture, written, other_numbers
):
    models = written(architecture, seed=1), written(architecture, seed=2)
    whole = load_pair(*models)
    split = other_numbers(*models)
    assert not is_offloaded(split.post) and split.device == "cpu"
    for name in ("base", "post"):
        for ours, there in zip(
            found(getattr(split, name)), found(getattr(whole, name)), strict=True
        ):
            assert ours is not None and there is not None and torch.equal(ours, there)
    assert changed_slots(split) == changed_slots(whole)
    for swap in (reverted, grafted):
        logits = []
        for pair in (whole, split):
            with torch.no_grad(), swap(pair, part(pair, "L1")) as model:
                logits.append(hugging_face_model(model)(input_ids=IDS).logits)
        assert torch.equal(*logits)
    gradients = []
    for pair in (whole, split):
        parameter = slots_of(pair)[sorted(slots_of(pair))[-1]].base
        parameter.requires_grad_(True)
        hugging_face_model(pair.base)(input_ids=IDS).logits.square().sum().backward()
        assert parameter.grad is not None
        gradients.append(parameter.grad)
    # Halving on the way is a factor of its derivative.
    one, other = gradients
    assert torch.equal(one, 2 * other)


def test_weights_are_whole_again_after_a_call_that_failed(paired_in_host_memory):
    bridge = paired_in_host_memory.base
    own = list(bridge.parameters())
    with pytest.raises((IndexError, RuntimeError)):
        hugging_face_model(bridge)(input_ids=torch.tensor([[10**6]]))
    assert all(one is other for one, other in zip(bridge.parameters(), own, strict=True))
    twin = copy.deepcopy(hugging_face_model(bridge))
    with torch.no_grad():
        before = hugging_face_model(bridge)(input_ids=IDS).logits
        for each in twin.parameters():
            each.zero_()
        assert torch.equal(hugging_face_model(bridge)(input_ids=IDS).logits, before)
        assert not twin(input_ids=IDS).logits.any()


@pytest.fixture
def paired_in_host_memory(written):
    return load_pair(written("llama", seed=1), written("llama", seed=2),
                     loading=Loading(offload=True))  # fmt: skip


def test_two_ways_of_placing_are_refused_before_anything_is_read():
    with pytest.raises(PairError, match="offload is set too"):
        load_pair("nowhere", "neither", loading=Loading(offload=True, device_map="auto"))


def test_layers_on_another_device_are_called_from_that_of_the_stream(paired, monkeypatch):
    bridge = paired("llama").base
    before = found(bridge)
    module = importlib.import_module("elicit.capture.engine.decompose")
    # One processor has no second device: every part is called as if it were on one.
    monkeypatch.setattr(module, "_here", lambda part, home: Moved(part, home))
    assert isinstance(decompose(bridge).layers[0].q, Moved)
    for ours, there in zip(found(bridge), before, strict=True):
        assert torch.equal(ours, there)


def test_split_projections_are_refused_on_disk_before_anything_is_moved(written, tmp_path):
    pair = load_pair(written("gpt2", seed=1), written("gpt2", seed=2))
    with pytest.raises(PairError, match="c_attn"):
        offload(pair.base, "cpu", folder=tmp_path)
    assert not is_offloaded(pair.base)
