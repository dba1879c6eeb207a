"""One training loop: plain optimizers' numbers, resumed to the same bits, refused if not finite."""

import pytest
import torch

from elicit.fitting import FittingError, NotFiniteError, constant, fit, in_epochs, linear_decay
from elicit.runs import Execution

STEPS = 12
TARGET = torch.randn(6, generator=torch.Generator().manual_seed(0))


class Kept:
    """A checkpoint in memory, which can be told to stop."""

    def __init__(self, stop_after: int | None = None):
        self.kept, self.left = {}, stop_after

    def get_or_compute(self, key, compute):
        if key not in self.kept:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            self.kept[key] = compute()
        return self.kept[key]


def trained(checkpoint=None, *, kind="adam", every=None, rate=None):
    """A vector pulled to a target, and what was measured on the way."""
    vector = torch.zeros(6, requires_grad=True)
    optimizer = {
        "adam": lambda: torch.optim.Adam([vector], amsgrad=True),
        "sgd": lambda: torch.optim.SGD([vector], momentum=0.9, nesterov=True),
    }[kind]()

    def step(number):
        loss = (vector - TARGET).square().sum() * (1 + number)
        (gradient,) = torch.autograd.grad(loss, [vector])
        vector.grad += gradient
        return loss

    execution = Execution() if checkpoint is None else Execution(checkpoint=checkpoint)
    losses = fit(
        optimizer,
        step,
        steps=STEPS,
        rate=rate or linear_decay(0.05, steps=STEPS, warm_up=3),
        label="fitting",
        every=every,
        execution=execution,
    )
    return vector.detach(), losses


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_it_is_the_optimizers_own_loop_bit_for_bit(kind):
    vector = torch.zeros(6, requires_grad=True)
    optimizer = (
        torch.optim.Adam([vector], amsgrad=True)
        if kind == "adam"
        else torch.optim.SGD([vector], momentum=0.9, nesterov=True)
    )
    rate = linear_decay(0.05, steps=STEPS, warm_up=3)
    losses = []
    for number in range(STEPS):
        optimizer.zero_grad()
        loss = (vector - TARGET).square().sum() * (1 + number)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = rate(number)
        optimizer.step()
        losses.append(loss.detach())
    ours, measured = trained(kind=kind)
    assert torch.equal(ours, vector.detach()) and torch.equal(measured, torch.stack(losses))


@pytest.mark.parametrize("kind", ["adam", "sgd"])
@pytest.mark.parametrize("stopped", [0, 1, 2])
def test_a_killed_fit_goes_on_to_the_same_bits(kind, stopped):
    whole = trained(kind=kind)
    checkpoint = Kept(stop_after=stopped)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint, kind=kind, every=5)
    assert len(checkpoint.kept) == stopped
    checkpoint.left = None
    for ours, theirs in zip(trained(checkpoint, kind=kind, every=5), whole, strict=True):
        assert torch.equal(ours, theirs)
    assert list(checkpoint.kept) == ["0", "5", "10"]


def test_only_the_end_is_kept_unless_asked_and_without_the_optimizers_memory():
    checkpoint = Kept()
    trained(checkpoint)
    assert {key: set(kept) for key, kept in checkpoint.kept.items()} == {
        "0": {"measured", "parameter/0"}
    }


def test_the_rate_rises_and_falls_and_never_is_zero():
    rate = linear_decay(1.0, steps=50, warm_up=10)
    assert [rate(i) for i in range(10)] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert [rate(i) for i in range(10, 50)] == pytest.approx([(50 - i) / 40 for i in range(10, 50)])
    plain = linear_decay(1.0, steps=50)
    assert [plain(i) for i in range(50)] == pytest.approx([(50 - i) / 50 for i in range(50)])


def test_every_item_is_seen_once_before_any_is_seen_again():
    generator = torch.Generator().manual_seed(0)
    order = in_epochs(lambda: torch.randperm(5, generator=generator).tolist(), 12)
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5)) and len(order) == 12


def test_what_is_no_longer_finite_is_refused_with_its_update():
    with pytest.raises(NotFiniteError) as refused:
        trained(kind="sgd", rate=constant(1e38))
    assert refused.value.update >= 1 and refused.value.measured.ndim == 0
    with pytest.raises(FittingError, match="-1"):
        trained(every=-1)
