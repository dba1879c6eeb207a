"""Digests that name the weights themselves, wherever they were loaded from."""

import torch
from torch import Tensor, nn

from elicit.pair.parameters import named_canonical, parameter_groups, stale_pieces
from elicit.results import digest_tensors
from elicit.surroundings import hold


def checkpoint_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every checkpoint name of a plain or wrapped model with its parameter, tied names repeated."""
    if hasattr(model, "original_model"):
        return dict(named_canonical(model))
    return dict(model.named_parameters(remove_duplicate=False))


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of a model's parameters.

    A plain Hugging Face model and a bridge around it have the same digest. On a bridge also the
    split copies of fused projections are read: if they differ from the fused parameter, which the
    forward no longer reads, the digest differs too.

    Args:
        model: A Hugging Face model, or a bridge around one.
    """
    with hold(model):
        if not hasattr(model, "original_model"):
            return digest_tensors({name: p.data for name, p in model.named_parameters()})
        groups = parameter_groups(model)
        tensors: dict[str, Tensor] = {name: group.canonical.data for name, group in groups.items()}
        for name in stale_pieces(model):
            for index, piece in enumerate(groups[name].live):
                tensors[f"{name}[{index}]"] = piece.data
        return digest_tensors(tensors)


def first_nonfinite(parameters: dict[str, nn.Parameter]) -> tuple[str, int] | None:
    """Name of the first parameter with a NaN or an infinity, and how many it has."""
    for name, parameter in parameters.items():
        # A sum is finite only if every element is; it needs no memory, and rarely overflows.
        if not parameter.is_floating_point() or bool(parameter.detach().sum().isfinite()):
            continue
        bad = int((~torch.isfinite(parameter.detach())).sum())
        if bad:
            return name, bad
    return None
