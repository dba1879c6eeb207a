"""What is trained, as a few leaf tensors for an optimizer, and how a model reads them."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.elicitation.training.errors import TrainingError
from elicit.pair import parameter_groups
from elicit.weights import replaced

_IN_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.\d+\.")


def live_parameters(bridge: nn.Module) -> dict[str, nn.Parameter]:
    """Every tensor that the forward reads, by its checkpoint name; pieces of a fused one by number.

    Args:
        bridge: The model.
    """
    found: dict[str, nn.Parameter] = {}
    for name, group in parameter_groups(bridge).items():
        for place, parameter in enumerate(group.live):
            found[f"{name}[{place}]" if group.fused else name] = parameter
    return found


def size_of(bridge: nn.Module) -> int:
    """Numbers of which a model's forward is made.

    Args:
        bridge: The model.
    """
    return sum(parameter.numel() for parameter in live_parameters(bridge).values())


def layer_matrices(bridge: nn.Module) -> dict[str, nn.Parameter]:
    """The matrices in the layers, embeddings and unembedding left out.

    Args:
        bridge: The model.
    """
    return {
        name: parameter
        for name, parameter in live_parameters(bridge).items()
        if parameter.ndim == 2 and _IN_LAYER.search(name)
    }


class Parametrised(ABC):
    """Leaf tensors that an optimizer trains, as a model reads them."""

    leaves: Sequence[Tensor]
    """What the optimizer holds."""

    @property
    def n_trained(self) -> int:
        """Numbers that are trained."""
        return sum(leaf.numel() for leaf in self.leaves)

    @abstractmethod
    def installed(self) -> ExitStack:
        """A block in which the model reads the leaves; after it, its own weights, bit for bit."""

    def refresh(self) -> None:  # noqa: B027 - most need it, but where leaves are read, nothing is
        """Let the model read the leaves as they are now."""

    def pull(self) -> None:  # noqa: B027 - as above
        """Add the gradients that a backward pass left to those of the leaves."""

    @abstractmethod
    def values(self) -> dict[str, Tensor]:
        """Copies of what the model reads, in the form that `merged` reads."""


@torch.no_grad()
def changed(
    weight: Float[Tensor, "row column"],
    up: Float[Tensor, "row rank"],
    down: Float[Tensor, "rank column"],
) -> Float[Tensor, "row column"]:
    """A matrix with its change of low rank, in the matrix's dtype; a change of 0 keeps its bits.

    Args:
        weight: The matrix.
        up: What is written.
        down: What is read.
    """
    change = up @ down
    # A weight of -0 plus 0 would be 0.
    return torch.where(change == 0, weight, (weight.float() + change).to(weight.dtype))


def merged(bridge: nn.Module, values: Mapping[str, Tensor]) -> dict[nn.Parameter, Tensor]:
    """What each parameter is to read, from what training left.

    Args:
        bridge: The model.
        values: Whole tensors by name, or factors `NAME.up` and `NAME.down`.

    Raises:
        TrainingError: The model has no such parameter, or one of another shape.
    """
    live = live_parameters(bridge)
    found: dict[nn.Parameter, Tensor] = {}
    for name, value in values.items():
        stem, _, part = name.rpartition(".")
        if name in live:
            parameter, new = live[name], value
        elif stem in live and part in ("up", "down"):
            parameter = live[stem]
            if part == "down":
                continue
            device = parameter.device
            new = changed(parameter.detach(), value.to(device), values[f"{stem}.down"].to(device))
        else:
            raise TrainingError(
                f"the trained parameters hold {name} and the model has no parameter of that name, "
                "so it cannot read them. Apply them to the model that was trained."
            )
        if new.shape != parameter.shape:
            raise TrainingError(
                f"{name} has shape {list(new.shape)} after training and {list(parameter.shape)} in "
                "the model, so it cannot be read there. Apply it to the model that was trained."
            )
        found[parameter] = new.to(parameter.device, parameter.dtype)
    return found


def training(bridge: nn.Module, parameters: Sequence[nn.Parameter]) -> ExitStack:
    """A block in which some parameters are copies that gradients reach, and all others get none."""
    stack = ExitStack()
    flags = [
        (p, p.requires_grad)
        for p in {id(p): p for p in (*bridge.parameters(), *parameters)}.values()
    ]

    def back() -> None:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
            parameter.grad = None

    stack.callback(back)
    stack.enter_context(replaced({p: p.detach().clone() for p in parameters}))
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    return stack


def taken(parameter: nn.Parameter) -> Tensor | None:
    """A parameter's gradient in float32, which it then no longer has."""
    gradient, parameter.grad = parameter.grad, None
    return None if gradient is None else gradient.float()


def move(live: nn.Parameter, master: Tensor) -> None:
    gradient = taken(live)
    if gradient is not None:
        add(master, gradient)


def add(leaf: Tensor, gradient: Tensor) -> None:
    leaf.grad = gradient if leaf.grad is None else leaf.grad + gradient


def factors(up: Mapping[str, Tensor], down: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        f"{name}.{part}": values[name].detach().cpu().clone()
        for name in up
        for part, values in (("up", up), ("down", down))
    }
