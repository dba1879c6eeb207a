"""Run a host from any layer on, with or without an autograd graph."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from elicit.capture import Decomposed, Heads, Inputs, Tap, run_block


def run_from(
    decomposed: Decomposed,
    inputs: Inputs,
    resid: Float[Tensor, "row pos d_model"],
    tap: Tap,
    *,
    first: int = 0,
) -> tuple[Float[Tensor, "row pos d_model"], dict[int, Heads]]:
    """Run the layers from `first` to the last.

    `tap`: receives every site in order and returns the value to use.

    Returns:
        Residual stream after the last layer; rotated queries and keys, and values, by layer.
    """
    heads: dict[int, Heads] = {}
    for index in range(first, len(decomposed.layers)):
        resid, heads[index] = run_block(decomposed.layers[index], index, inputs, resid, tap)
    return resid, heads


@contextmanager
def only_activations(*models: nn.Module) -> Iterator[None]:
    """Disable parameter gradients inside the block, so that graphs hold activations only.

    `models`: models whose `requires_grad` flags are cleared, and restored on exit.
    """
    flags = {p: p.requires_grad for model in models for p in model.parameters()}
    try:
        for parameter in flags:
            parameter.requires_grad_(False)
        with torch.enable_grad():
            yield
    finally:
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
