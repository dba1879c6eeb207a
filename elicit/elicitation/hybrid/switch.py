"""A switch that reads the base's own state: whether post would write another token there."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from elicit import fitting
from elicit.results import digest_tensors
from elicit.runs import Execution

HIDDEN = 16
"""Units between the state and the decision."""
STEPS, RATE, DECAY = 200, 0.01, 1e-3
"""Updates over all tokens at once, step length, and weight decay of the switch."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LearnedSwitch:
    """A small network on one state: d -> 16 -> 1, fires above a threshold."""

    center: Float[Tensor, " width"]
    """Mean state, taken off first."""
    scale: Float[Tensor, " width"]
    """Standard deviation of each entry, divided by."""
    w_in: Float[Tensor, "width hidden"]
    """Weights into the hidden units."""
    b_in: Float[Tensor, " hidden"]
    """Their biases."""
    w_out: Float[Tensor, " hidden"]
    """Weights out of them."""
    b_out: Float[Tensor, ""]
    """Bias of the decision."""
    threshold: float = 0.5
    """Least probability at which it fires."""

    @property
    def n_parameters(self) -> int:
        """Trained numbers."""
        trained = (self.w_in, self.b_in, self.w_out, self.b_out)
        return sum(each.numel() for each in trained)

    @property
    def digest(self) -> str:
        """Names all that its decisions depend on."""
        names = ("center", "scale", "w_in", "b_in", "w_out", "b_out")
        arrays = {name: getattr(self, name) for name in names}
        return digest_tensors({**arrays, "threshold": torch.tensor(self.threshold)})

    def __call__(self, state: Float[Tensor, "row width"]) -> Bool[Tensor, " row"]:
        """Whether each row's newest token is pushed.

        Args:
            state: At the switch's site, before any push.
        """
        return self.probability(state) >= self.threshold

    def probability(self, state: Float[Tensor, "row width"]) -> Float[Tensor, " row"]:
        """Probability that post would write another token.

        Args:
            state: At the switch's site.
        """
        return torch.sigmoid(self._logit(state.detach().float().cpu()))

    def _logit(self, state: Float[Tensor, "row width"]) -> Float[Tensor, " row"]:
        hidden = functional.gelu((state - self.center) / self.scale @ self.w_in + self.b_in)
        return hidden @ self.w_out + self.b_out


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedSwitch:
    """A switch and the course of its fit."""

    switch: LearnedSwitch
    """After the last update."""
    loss: Float[Tensor, " switch_step"]
    """Cross-entropy over all tokens before each update, nats."""


def fit_switch(
    state: Float[Tensor, "token width"],
    differs: Bool[Tensor, " token"],
    *,
    seed: int = 0,
    execution: Execution = Execution(),
) -> FittedSwitch:
    """Train a switch to tell tokens at which two models differ from all others.

    Tokens are not weighted, so that it fires about as often as the models differ.

    Args:
        state: State of the model that will be pushed, one row a token.
        differs: Whether the models differ there.
        seed: Seed of the first weights.
        execution: Checkpoint and progress.
    """
    generator = torch.Generator().manual_seed(seed)
    width = state.shape[1]
    w_in = torch.randn(width, HIDDEN, generator=generator) / width**0.5
    w_out = torch.randn(HIDDEN, generator=generator) / HIDDEN**0.5
    trained = [w_in, torch.zeros(HIDDEN), w_out, torch.zeros(())]
    for parameter in trained:
        parameter.requires_grad_()
    deviation = state.std(0, correction=0)
    # An entry that never varies says nothing and must not be divided by 0.
    deviation = torch.where(deviation > 1e-6 * deviation.max().clamp(min=1e-6), deviation, 1.0)

    def switch() -> LearnedSwitch:
        return LearnedSwitch(
            center=state.mean(0),
            scale=deviation,
            w_in=w_in,
            b_in=trained[1],
            w_out=w_out,
            b_out=trained[3],
        )

    wanted = differs.float()

    def step(_: int) -> Float[Tensor, ""]:
        with torch.enable_grad():
            loss = functional.binary_cross_entropy_with_logits(switch()._logit(state), wanted)
            gradients = torch.autograd.grad(loss, trained)
        for parameter, gradient in zip(trained, gradients, strict=True):
            assert parameter.grad is not None
            parameter.grad += gradient
        return loss.detach()

    loss = fitting.fit(
        torch.optim.AdamW(trained, lr=RATE, weight_decay=DECAY),
        step,
        steps=STEPS,
        rate=fitting.constant(RATE),
        label="training the switch",
        execution=execution,
    )
    for parameter in trained:
        parameter.requires_grad_(False)
    return FittedSwitch(switch=switch(), loss=loss)
