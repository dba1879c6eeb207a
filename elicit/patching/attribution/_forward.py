"""Run a host from any layer on, with or without a graph of its activations."""

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

    Args:
        decomposed: The model.
        inputs: Masks and angles.
        resid: Residual stream entering layer `first`.
        tap: Sees every site in order and says what goes on.
        first: First layer to run.

    Returns:
        Residual stream after the last layer; turned queries and keys, and values, by layer.
    """
    heads: dict[int, Heads] = {}
    for index in range(first, len(decomposed.layers)):
        resid, heads[index] = run_block(decomposed.layers[index], index, inputs, resid, tap)
    return resid, heads


@contextmanager
def only_activations(*models: nn.Module) -> Iterator[None]:
    """Build graphs of activations alone for one block: parameters want no gradient meanwhile.

    Args:
        models: Whose parameters; each has its own flag back afterwards, also after an exception.
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
