"""Four ways to train a model: all weights, a low-rank change, a few numbers, one vector a layer."""

from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.elicitation.training._parametrised import (
    Parametrised,
    add,
    changed,
    factors,
    layer_matrices,
    live_parameters,
    move,
    taken,
    training,
)
from elicit.elicitation.training.errors import TrainingError
from elicit.elicitation.training.plans import Trainable
from elicit.pair import device_of
from elicit.sites import Site
from elicit.surroundings import make_guest

RANK = 8
"""Of a low-rank change."""
TINY = 13
"""Numbers that `tiny` trains, as few as TinyLoRA's smallest."""
TINY_RANK = 2
"""Singular directions of each matrix that `tiny` turns."""


class Weights(Parametrised):
    """All weights; those of half precision are trained as float32 and rounded to be read."""

    def __init__(self, bridge: nn.Module) -> None:
        """Nothing changes before `installed`."""
        self._bridge, self._live = bridge, live_parameters(bridge)
        self._masters = {
            name: parameter.detach().float().requires_grad_()
            for name, parameter in self._live.items()
            if parameter.dtype in (torch.float16, torch.bfloat16)
        }
        self.leaves = [self._masters.get(name, p) for name, p in self._live.items()]

    def installed(self) -> ExitStack:
        """See `Parametrised`."""
        return training(self._bridge, list(self._live.values()))

    @torch.no_grad()
    def refresh(self) -> None:
        """See `Parametrised`."""
        for name, master in self._masters.items():
            self._live[name].copy_(master)

    def pull(self) -> None:
        """See `Parametrised`."""
        for name, master in self._masters.items():
            move(self._live[name], master)

    def values(self) -> dict[str, Tensor]:
        """See `Parametrised`."""
        return {name: p.detach().cpu().clone() for name, p in self._live.items()}


class LowRank(Parametrised):
    """A change of low rank of every matrix in the layers: W + up·down, of which up begins at 0."""

    def __init__(self, bridge: nn.Module, seed: int) -> None:
        """Draw the rows that are read; what is written begins at 0."""
        self._bridge, self._live = bridge, layer_matrices(bridge)
        self._kept = {name: p.detach() for name, p in self._live.items()}
        generator = torch.Generator().manual_seed(seed)
        self._up: dict[str, Tensor] = {}
        self._down: dict[str, Tensor] = {}
        for name, matrix in self._live.items():
            rows, columns = matrix.shape
            rank = min(RANK, rows, columns)
            down = torch.randn(rank, columns, generator=generator) / columns**0.5
            self._down[name] = down.to(matrix.device).requires_grad_()
            self._up[name] = torch.zeros(rows, rank, device=matrix.device).requires_grad_()
        self.leaves = [*self._up.values(), *self._down.values()]

    def installed(self) -> ExitStack:
        """See `Parametrised`."""
        return training(self._bridge, list(self._live.values()))

    @torch.no_grad()
    def refresh(self) -> None:
        """See `Parametrised`."""
        for name, parameter in self._live.items():
            parameter.copy_(changed(self._kept[name], self._up[name], self._down[name]))

    @torch.no_grad()
    def pull(self) -> None:
        """See `Parametrised`."""
        for name, parameter in self._live.items():
            gradient = taken(parameter)
            if gradient is not None:
                add(self._up[name], gradient @ self._down[name].T)
                add(self._down[name], self._up[name].T @ gradient)

    def values(self) -> dict[str, Tensor]:
        """See `Parametrised`."""
        return factors(self._up, self._down)


class Tiny(Parametrised):
    """A few numbers, shared by all matrices in the layers, that turn their leading directions.

    Each matrix is changed by U S (Σ v_i P_i) Vᵀ, where U, S and V are its largest singular
    directions and values, P_i are drawn once, and the v_i are the same for all matrices.

    On the embedded pairs it elicits nothing, and that is not for want of a rate: the numbers that
    make base begin as post does (found by gradient ascent on that token) turn the leading
    directions so far that no value is computed any more. A model of six layers has none to spare.

    Source: TinyLoRA, arXiv:2602.04118; ranks, ties and the draw of P are those of its smallest.
    """

    def __init__(self, bridge: nn.Module, seed: int) -> None:
        """Decompose every matrix once."""
        self._bridge, self._live = bridge, layer_matrices(bridge)
        self._kept = {name: p.detach() for name, p in self._live.items()}
        generator = torch.Generator().manual_seed(seed)
        self._left: dict[str, Tensor] = {}
        self._right: dict[str, Tensor] = {}
        self._turn: dict[str, Tensor] = {}
        for name, matrix in self._kept.items():
            u, s, vh = torch.linalg.svd(matrix.float(), full_matrices=False)
            rank = min(TINY_RANK, len(s))
            # A singular vector is unique but for its sign, which is fixed here.
            sign = u[:, :rank].gather(0, u[:, :rank].abs().argmax(0, keepdim=True)).sign()
            self._left[name] = u[:, :rank] * sign * s[:rank]
            self._right[name] = vh[:rank] * sign.T
            drawn = torch.randn(TINY, rank, rank, generator=generator)
            self._turn[name] = drawn.to(matrix.device) / TINY**0.5
        device = next(iter(self._kept.values())).device
        self.leaves = [torch.zeros(TINY, device=device).requires_grad_()]

    def installed(self) -> ExitStack:
        """See `Parametrised`."""
        return training(self._bridge, list(self._live.values()))

    def _up(self, name: str) -> Tensor:
        return self._left[name] @ torch.einsum("n,nij->ij", self.leaves[0], self._turn[name])

    @torch.no_grad()
    def refresh(self) -> None:
        """See `Parametrised`."""
        for name, parameter in self._live.items():
            parameter.copy_(changed(self._kept[name], self._up(name), self._right[name]))

    @torch.no_grad()
    def pull(self) -> None:
        """See `Parametrised`."""
        for name, parameter in self._live.items():
            gradient = taken(parameter)
            if gradient is not None:
                inner = self._left[name].T @ gradient @ self._right[name].T
                add(self.leaves[0], torch.einsum("nij,ij->n", self._turn[name], inner))

    @torch.no_grad()
    def values(self) -> dict[str, Tensor]:
        """See `Parametrised`."""
        return factors({name: self._up(name) for name in self._live}, self._right)


class Biases(Parametrised):
    """One vector a layer, added to its output at every token; the weights stay as they are.

    Trained as shares of the mean norm of each layer's output, because norms differ widely between
    layers and one learning rate is to suit them all.

    Source: Sinii et al. 2025, arXiv:2505.18706 and 2509.06608; the scaling by norms is ours.
    """

    def __init__(self, bridge: nn.Module, norms: Float[Tensor, " layer"], width: int) -> None:
        """Begin at vectors of 0, which change no bit."""
        points: Any = bridge.hook_dict
        self._points = [points[Site("resid_post", layer).hook] for layer in range(len(norms))]
        self._bridge = bridge
        device = device_of(bridge)
        self._norms = norms.to(device)
        self._share = torch.zeros(len(norms), width, device=device).requires_grad_()
        self.leaves = [self._share]

    def installed(self) -> ExitStack:
        """See `Parametrised`."""
        stack = training(self._bridge, [])
        for layer, point in enumerate(self._points):

            def write(_module: nn.Module, _args: tuple, x: Tensor, layer: int = layer) -> Tensor:
                vector = self._norms[layer] * self._share[layer]
                # As Steer adds it, so that texts here and under the applied vectors are the same.
                return (x.float() + vector).to(x.dtype)

            make_guest(write)
            stack.callback(point.register_forward_hook(write).remove)
        return stack

    def values(self) -> dict[str, Tensor]:
        """See `Parametrised`."""
        vectors = (self._norms[:, None] * self._share).detach().cpu()
        return {
            str(Site("resid_post", layer)): vector.clone() for layer, vector in enumerate(vectors)
        }


def parametrised(
    bridge: nn.Module, trainable: Trainable, *, norms: Float[Tensor, " layer"], seed: int
) -> Parametrised:
    """What is trained of a model, before any training.

    Args:
        bridge: The model.
        trainable: What is trained.
        norms: Mean norm of each layer's output.
        seed: Of whatever is drawn.

    Raises:
        TrainingError: There is no such way, or the model has no matrices in layers.
    """
    if trainable == "all":
        return Weights(bridge)
    if trainable == "bias":
        width = int(bridge.cfg.d_model)  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        return Biases(bridge, norms, width)
    if trainable not in ("lora", "tiny"):
        raise TrainingError(
            f"trainable is {trainable!r}, so it is not clear what is trained. Pass 'all', 'lora', "
            "'bias' or 'tiny'."
        )
    if not layer_matrices(bridge):
        raise TrainingError(
            f"the model has no matrices in layers, so {trainable!r} has nothing to change. Pass "
            "trainable='all' or 'bias'."
        )
    return LowRank(bridge, seed) if trainable == "lora" else Tiny(bridge, seed)
