"""Weights that are sent ahead of their call are those that the module has when it is called."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from elicit.pair import load_pair, offload, placement
from elicit.weights import grafted, part, replaced
from tests.pretended import identity_kept, pretend

IDS = torch.tensor([[5, 9, 12, 7], [3, 3, 8, 1]])


class Late:
    """A link whose copies are made when they are waited for, and not before."""

    def __init__(self, device):
        self.device, self.pending, self.sent, self.rooms = device, [], 0, []

    def room(self, n_bytes):
        self.rooms.append(torch.empty(n_bytes, dtype=torch.uint8))
        return self.rooms[-1]

    def send(self, staged):
        for copy in self.pending:
            copy.check()
        self.sent += 1
        copy = Copy(self, staged)
        self.pending.append(copy)
        return copy.sent, copy

    def arrived(self, sent, ended):
        assert ended.sent is sent
        ended.synchronize()


class Copy:
    """One copy on its way."""

    def __init__(self, link, staged):
        self.link, self.staged = link, staged
        self.before = {name: each.clone() for name, each in staged.items()}
        self.sent = {
            name: torch.full_like(each, torch.nan, device=link.device)
            for name, each in staged.items()
        }

    def check(self):
        """Nobody writes into memory that is still to be copied."""
        assert all(torch.equal(self.staged[name], each) for name, each in self.before.items())

    def synchronize(self):
        if self in self.link.pending:
            self.check()
            self.link.pending.remove(self)
            for name, each in self.staged.items():
                self.sent[name].copy_(each)


@pytest.fixture(params=["llama", "gpt2"])
def two(request, written, monkeypatch):
    """A pair, and the same one with weights in host memory and late copies."""
    # Gradients stay on the CPU: torch counts devices at a process's first one.
    there = torch.device("cpu") if "gradient" in request.function.__name__ else pretend()[0]
    links = []

    def link_to(device):
        links.append(Late(device))
        return links[-1]

    monkeypatch.setattr(placement, "link_to", link_to)
    names = written(request.param, seed=1), written(request.param, seed=2)
    plain, far = (load_pair(*names, device="cpu", check_parity=False) for _ in range(2))
    with identity_kept():
        for bridge in (far.base, far.post):
            offload(bridge, there)
    return plain, far, links[0]


def logits(model: nn.Module, device: torch.device | str = "cpu"):
    with torch.no_grad():
        return model(input_ids=IDS.to(device)).logits.cpu()


def test_each_module_gets_its_weights_and_gets_them_once(two):
    plain, far, link = two
    there, model = pretend()[0], far.base.original_model
    for _ in range(3):
        assert torch.equal(logits(plain.base.original_model), logits(model, there))
    first, link.sent = link.sent, 0
    assert torch.equal(logits(plain.base.original_model), logits(model, there))
    # Once for each call: what was guessed was used, and one copy is under way at the end.
    assert first == 3 * link.sent + 1 and len(link.pending) == 1
    assert len({each.data_ptr() for each in link.rooms[-2:]}) == 2
    largest = max(sum(p.nbytes for p in m._parameters.values() if p is not None)
                  for m in model.modules())  # fmt: skip
    assert sorted(map(len, link.rooms))[-1] <= largest + 64


@pytest.mark.parametrize("way", ["grafted", "replaced", "in place"])
def test_weights_that_changed_after_they_were_sent_are_sent_again(two, way):
    plain, far, link = two
    there, found = pretend()[0], []
    for pair, device in ((plain, "cpu"), (far, there)):
        model = pair.base.original_model
        logits(model, device), logits(model, device)
        embedding = model.get_input_embeddings().weight
        other = pair.post.original_model.get_input_embeddings().weight
        block = nullcontext()
        if way == "grafted":
            block = grafted(pair, part(pair, "embed"))
        elif way == "replaced":
            block = replaced({embedding: other.data})
        else:
            with torch.no_grad():
                embedding.mul_(0.5)
        before = len(link.pending)
        with block:
            found.append(logits(model, device))
    assert before == 1  # the embedding was under way when it changed
    assert torch.equal(*found)
    assert not torch.equal(found[0], logits(plain.base.original_model)) or way == "in place"


def test_a_gradient_reaches_what_is_kept(two):
    plain, far, link = two
    grads = []
    sent = link.sent
    for pair in (plain, far):
        model = pair.base.original_model
        model.requires_grad_(True)
        model(input_ids=IDS).logits.float().logsumexp(-1).sum().backward()
        grads.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys() and link.sent == sent
    for name, grad in grads[0].items():
        torch.testing.assert_close(grad, grads[1][name].cpu(), atol=1e-5, rtol=1e-4)
