"""A pair's difference on another host: exact where it can be, gone afterwards, else refused."""

import pytest
import torch

from elicit.pair import load_pair, weights_digest
from elicit.weights import PartError, slots_of, transplanted


def test_on_base_itself_the_difference_makes_post_bit_for_bit(paired):
    pair = paired("llama")
    ids = torch.tensor([[1, 5, 9, 7]])
    before = weights_digest(pair.base)
    with torch.no_grad():
        post = pair.post(ids)
        with transplanted(pair, pair.base) as host:
            assert torch.equal(host(ids), post)
    assert weights_digest(pair.base) == before


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_host_reads_its_own_weights_plus_the_difference_and_has_them_back(
    paired, written, architecture
):
    pair = paired(architecture)
    third = load_pair(written(architecture, seed=3), written(architecture, seed=1))
    host = third.base
    theirs = {name: slot.base for name, slot in slots_of(third).items()}
    own = {name: parameter.detach().clone() for name, parameter in theirs.items()}
    before = weights_digest(host)
    ids = torch.tensor([[1, 5, 9, 7]])
    alone = host(ids)
    with transplanted(pair, host):
        assert not torch.equal(host(ids), alone)
        for name, slot in slots_of(pair).items():
            expected = own[name].double() + (slot.post.double() - slot.base.double())
            assert torch.equal(theirs[name].detach(), expected.to(own[name].dtype)), name
            assert torch.equal(slot.base, slot.post) == torch.equal(theirs[name], own[name]), name
    assert torch.equal(host(ids), alone) and weights_digest(host) == before


def test_weights_are_back_after_a_failure(paired, written):
    pair = paired("llama")
    host = load_pair(written("llama", seed=3), written("llama", seed=1)).base
    before = weights_digest(host)
    with pytest.raises(KeyboardInterrupt), transplanted(pair, host):
        raise KeyboardInterrupt
    assert weights_digest(host) == before


def test_another_architecture_is_refused(paired):
    with (
        pytest.raises(PartError, match="same architecture"),
        transplanted(paired("llama"), paired("gpt2").base),
    ):
        pass
