"""The fused kernel of lens statistics is the plain way, on Triton's interpreter."""

import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from elicit.capture import Unembed
from elicit.texts import LogitBuffers, Readout, TextError, _fused

D_MODEL, N = 24, 37
SOURCE = Path(_fused.__file__).with_name("_kernels.py")


@pytest.fixture
def interpreted(monkeypatch):
    """Kernels that run on the CPU, in small tiles so that several splits are merged."""
    pytest.importorskip("triton", reason="pip install triton: PyTorch for the CPU brings none")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    # What Triton's own functions are is decided when it is imported; its compiled part stays.
    for name in list(sys.modules):
        if name.split(".")[0] == "triton" and not name.startswith("triton._C"):
            monkeypatch.delitem(sys.modules, name)
    # Under a name of its own: kernels are compiled from their source, which must not be wrapped in
    # the checks of shapes that the suite adds to every module of the package.
    spec = importlib.util.spec_from_file_location("kernels", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "kernels", module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "elicit.texts._kernels", module)
    monkeypatch.setattr(_fused, "serves", lambda z: z.dtype == torch.float32)
    monkeypatch.setattr(module, "IDS", type(module.IDS)(128))


def head(d_vocab=301, *, bias=None):
    unembed = nn.Linear(D_MODEL, d_vocab, bias=bias is not None)
    with torch.no_grad():
        unembed.weight.copy_(
            torch.randn(d_vocab, D_MODEL, generator=torch.Generator().manual_seed(1))
        )
        if bias is not None:
            unembed.bias.copy_(bias)
    unembed.requires_grad_(False)
    return Unembed(norm=nn.Identity(), projection=unembed, softcap=None, d_vocab=d_vocab)


def states(seed):
    return torch.randn(N, D_MODEL, generator=torch.Generator().manual_seed(seed)) * 0.3


def both_ways(used, here, last):
    """The fused reading and the plain one, of one block."""
    found = []
    for fused in (None, False):
        room = Readout(used, N)
        room.fused.used = fused
        final = room.final(last, torch.empty(used.d_vocab, N))
        found.append(room.read(here, final))
        assert room.fused.used is (fused is None)
    return found


def forbidden(*ids):
    bias = torch.zeros(301)
    bias[list(ids)] = -torch.inf
    return bias


@pytest.mark.parametrize("bias", [None, torch.linspace(-2, 2, 301), forbidden(0, 130, 300)])
def test_the_fused_kernel_is_the_plain_way(interpreted, bias):
    one, other = both_ways(head(bias=bias), states(1), states(2))
    for name in ("jsd", "kl", "entropy", "prob", "log_norm"):
        assert (getattr(one, name) - getattr(other, name)).abs().max() <= 1e-5
    assert torch.equal(one.rank, other.rank)


def test_a_layer_that_is_the_last_one_differs_by_nothing(interpreted):
    one, _ = both_ways(head(), states(2), states(2))
    assert one.jsd.max() <= 1e-6 and one.kl.max() <= 1e-6 and not one.rank.any()


def test_nan_is_refused_by_the_kernel_as_well(interpreted):
    used, room = head(), Readout(head(), N)
    final = room.final(states(2), torch.empty(used.d_vocab, N))
    room.read(states(1), final)
    broken = states(1)
    broken[20] = torch.nan
    assert room.fused.used
    with pytest.raises(TextError, match="1 of 37 tokens"):
        room.read(broken, final)


@pytest.mark.parametrize("why", ["differs from the plain way", "cannot be built here"])
def test_a_kernel_that_fails_or_computes_something_else_is_not_used(monkeypatch, why):
    used, room = head(), Readout(head(), N)
    final = room.final(states(2), torch.empty(used.d_vocab, N))
    plain = room.read(states(1), final)
    assert room.fused.used is None  # on the CPU nothing is tried

    def wrong(z, final):
        if "built" in why:
            raise RuntimeError("no compiler")
        other = Readout(used, z.shape[1])
        other.fused.used = False
        return other.read(states(3)[: z.shape[1]], final), torch.zeros(1)

    monkeypatch.setattr(_fused, "serves", lambda z: True)
    monkeypatch.setattr(_fused, "_reading", wrong)
    with pytest.warns(_fused.FusedWarning, match=why):
        again = room.read(states(1), final)
    assert torch.equal(again.jsd, plain.jsd) and room.fused.used is False


def test_the_kernel_is_launched_on_the_device_of_its_tensors(monkeypatch):
    """Triton takes the current device, which is base's where post's logits are on another."""
    within, launched = [], []

    @contextmanager
    def current(x):
        within.append(x)
        yield
        within.pop()

    class Kernel:
        def __getitem__(self, grid):
            return lambda z, *_: launched.append([each is z for each in within])

    kernels = SimpleNamespace(
        IDS=SimpleNamespace(value=128), TOKENS=SimpleNamespace(value=32),
        layer_sums=Kernel(), mixed_sums=Kernel(),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "elicit.texts._kernels", kernels)
    monkeypatch.setattr(torch.cuda, "device_of", current)
    used, z = head(), torch.randn(301, N)
    final = Readout(used, N).final(states(2), torch.empty(used.d_vocab, N))
    _fused._reading(z, final)
    assert launched == [[True], [True]] and not within


def test_a_kernel_is_held_against_the_plain_way_only_beside_predictions(interpreted, monkeypatch):
    """A block that is checked at its end meets ids that are ruled out, and is read again."""
    buffers, held = LogitBuffers([head(bias=forbidden(0, 130))], memory=2**20, n_tokens=N), []
    (room,), agrees = buffers.readouts, _fused.Fused._agrees

    def watched(self, ours, plain):
        held.append(bool(plain.kl.isfinite().all()))
        return agrees(self, ours, plain)

    monkeypatch.setattr(_fused.Fused, "_agrees", watched)
    reading = buffers.settled(lambda: room.read(states(1), room.final(states(2), buffers.probs(N))))
    assert held == [True] and room.fused.used
    assert reading.kl.isfinite().all()
