"""One training loop: gradients from the caller, everything else here."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.fitting.errors import FittingError, NotFiniteError
from elicit.fitting.rates import Rate
from elicit.runs import Execution

T = TypeVar("T")


@runtime_checkable
class Watch(Protocol):
    """Follows a fit: may end it early, and sees the parameters after each piece."""

    def ends(self, measured: Float[Tensor, "step ..."]) -> bool:
        """Whether training ends after the last of these steps.

        Args:
            measured: What every step so far measured. Nothing may decide but this and what `kept`
                saw, so that a fit that was killed ends where it would have ended.
        """
        ...

    def kept(self, measured: Float[Tensor, "step ..."]) -> None:
        """Called where a checkpoint is, computed or read, with its parameters in place.

        Args:
            measured: What every step so far measured.
        """
        ...


def fit(
    optimizer: torch.optim.Optimizer,
    step: Callable[[int], Float[Tensor, "..."]],
    *,
    steps: int,
    rate: Rate,
    label: str,
    every: int | None = None,
    watch: Watch | None = None,
    execution: Execution = Execution(),
) -> Float[Tensor, "step ..."]:
    """Train an optimizer's parameters in place, and return what each step measured.

    Nothing here is random: with the same `step` and rates the same parameters come out, bit for
    bit, also when a killed fit goes on from its last checkpoint.

    Args:
        optimizer: Holds the parameters, in the state in which training begins.
        step: Adds the gradients of a step, by its number from 0, to the parameters' `grad`, which
            is 0 before; returns what was measured before the update, the same shape every time.
        steps: Updates, at least 1.
        rate: Learning rate of each update.
        label: What progress calls the work.
        every: Updates between checkpoints, which then hold the optimizer's state as well; None
            keeps the finished fit alone.
        watch: May end the fit before its last step, and sees the parameters at every checkpoint.
        execution: Checkpoint and progress; one key a checkpoint.

    Raises:
        FittingError: There is no step.
        NotFiniteError: A parameter or measurement is not finite.
    """
    if steps < 1 or (every is not None and every < 1):
        raise FittingError(
            f"steps is {steps} and every {every}, so nothing would be trained or kept. Pass 1 or "
            "more."
        )
    every = steps if every is None else min(every, steps)
    measured: list[Tensor] = []
    execution.progress.start(steps, label)
    try:
        for first in range(0, steps, every):
            numbers = range(first, min(first + every, steps))
            last = numbers[-1] == steps - 1

            left = list(numbers)

            def train(left: list[int] = left, last: bool = last) -> dict[str, Tensor]:
                values = []
                while left:
                    values.append(_update(optimizer, step, left[0], steps, rate(left[0])))
                    execution.progress.advance()
                    left.pop(0)
                    if watch is not None and watch.ends(
                        torch.cat([*measured, torch.stack(values)])
                    ):
                        left.clear()
                return {"measured": torch.stack(values), **_state(optimizer, moments=not last)}

            trained = execution.checkpoint.get_or_compute(str(first), train)
            if left:  # Kept from an earlier run.
                execution.progress.advance(len(trained["measured"]))
            _restore(optimizer, trained)
            measured.append(trained["measured"])
            if watch is not None:
                so_far = torch.cat(measured)
                watch.kept(so_far)
                if watch.ends(so_far):
                    break
    finally:
        execution.progress.stop()
    for parameter in _parameters(optimizer):
        parameter.grad = None
    return torch.cat(measured)


def in_epochs(draw: Callable[[], Sequence[T]], steps: int) -> list[T]:
    """What each step sees: every item of a draw once before it is drawn again.

    Args:
        draw: All items in a new random order.
        steps: Steps.
    """
    items: list[T] = []
    while len(items) < steps:
        items += draw()
    return items[:steps]


def _update(
    optimizer: torch.optim.Optimizer,
    step: Callable[[int], Tensor],
    number: int,
    steps: int,
    rate: float,
) -> Tensor:
    """One update; what it measured, on the CPU."""
    for parameter in _parameters(optimizer):
        parameter.grad = torch.zeros_like(parameter)
    measured = step(number).detach().cpu()
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    if not all(bool(value.isfinite().all()) for value in (measured, *_parameters(optimizer))):
        raise NotFiniteError(update=number + 1, steps=steps, rate=rate, measured=measured)
    return measured


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _state(optimizer: torch.optim.Optimizer, *, moments: bool) -> dict[str, Tensor]:
    """Parameters, and where training goes on what the optimizer remembers of each."""
    state = {
        f"parameter/{i}": p.detach().cpu().clone() for i, p in enumerate(_parameters(optimizer))
    }
    if moments:
        for i, parameter in enumerate(_parameters(optimizer)):
            for name, value in optimizer.state[parameter].items():
                if value is not None:
                    state[f"{name}/{i}"] = torch.as_tensor(value).detach().cpu().clone()
    return state


@torch.no_grad()
def _restore(optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Put parameters and the optimizer's memory where a checkpoint has them."""
    for i, parameter in enumerate(_parameters(optimizer)):
        parameter.copy_(state[f"parameter/{i}"])
        kept = {
            name.rpartition("/")[0]: value
            for name, value in state.items()
            if name.endswith(f"/{i}") and not name.startswith("parameter/")
        }
        # Adam counts its steps on the CPU; moments live with their parameter.
        for name, value in kept.items():
            optimizer.state[parameter][name] = value.clone().to(
                "cpu" if value.ndim == 0 else parameter.device
            )
