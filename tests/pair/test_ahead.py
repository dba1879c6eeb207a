"""Weights that are sent ahead of their call are those that the module has when it is called."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from elicit.pair import load_pair, offload, placement
from elicit.weights import replaced
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
    # Once for each call: what was guessed was used, and nothing is under way at the end.
    assert first == 3 * link.sent and not link.pending
    assert len({each.data_ptr() for each in link.rooms[-2:]}) == 2
    largest = max(sum(p.nbytes for p in m._parameters.values() if p is not None)
                  for m in model.modules())  # fmt: skip
    assert sorted(map(len, link.rooms))[-1] <= largest + 64


def called_first(model: nn.Module, device: torch.device) -> list[str]:
    """Names of the modules that are called first and second, of those kept in host memory."""
    called: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
        for name, module in model.named_modules()
        if "_hf_hook" in module.__dict__ and not name.endswith("_original_component")
    ]
    logits(model, device)
    for handle in handles:
        handle.remove()
    return called[:2]


@pytest.mark.parametrize("way", ["replaced", "from a device", "in place", "not at all"])
def test_weights_that_changed_after_they_were_sent_are_sent_again(two, way):
    plain, far, link = two
    there, found = pretend()[0], []
    names = called_first(far.base.original_model, there)
    for pair, device in ((plain, "cpu"), (far, there)):
        embedding, following = map(pair.base.original_model.get_submodule, names)
        sent = link.sent
        with torch.no_grad():
            embedding(IDS.to(device))
        weight, block = following.weight, nullcontext()
        given = torch.arange(IDS.numel() * 32.0).reshape(*IDS.shape, 32)
        if names[1].endswith("wpe"):  # positions
            given = torch.arange(4).expand(2, 4)
        if way == "in place":
            with torch.no_grad():
                weight.mul_(0.5)
        elif way != "not at all":
            new = weight.detach().cpu() * 0.5
            block = replaced({weight: new.to(device) if way == "from a device" else new})
        with block, torch.no_grad():
            found.append(following(given.to(device)).cpu())
    assert torch.equal(*found)
    # The embedding's, the other's, which was under way when it changed and is sent again, and those
    # of the module after it.
    assert link.sent - sent == (3 if way == "not at all" else 4)


def test_between_forwards_weights_may_change_past_every_counter(two):
    plain, far, _ = two
    for pair, device in ((plain, "cpu"), (far, pretend()[0])):
        model = pair.base.original_model
        logits(model, device), logits(model, device)
        for parameter in model.parameters():
            parameter.data.mul_(0.9)
    assert torch.equal(
        logits(plain.base.original_model), logits(far.base.original_model, pretend()[0])
    )


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
