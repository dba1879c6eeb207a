"""The weight difference of a pair, added to another model of the same architecture."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from elicit.pair import ModelPair, parameter_groups
from elicit.surroundings import hold
from elicit.weights.slots import PartError, slot_table
from elicit.weights.swap import replaced

_ENTRIES = 1 << 22
"""Entries of a tensor that are turned into float64 at a time."""


@contextmanager
def transplanted(pair: ModelPair, host: nn.Module) -> Iterator[nn.Module]:
    """A host that reads host + (post - base), for one block; its own weights are back after it.

    Sums are taken in float64 and rounded once. Tensors in which the pair does not differ are the
    host's own, and where the host has base's tensor it reads post's, bit for bit. Tensors that
    change are held a second time.

    Args:
        pair: Whose difference is added.
        host: A booted bridge of the same architecture and shapes; base itself may be one.

    Raises:
        PartError: The host's parameters do not correspond to the pair's, or an embedding has two
            sizes in the pair.
    """
    moving = _corresponding(pair, host)
    with hold(pair.base, pair.post, host):
        changes = {
            own: _sum(own.data, base.data, post.data)
            for own, (base, post) in moving.items()
            if not torch.equal(base.data, post.data.to(base.device))
        }
        with replaced(changes):
            yield host


def _corresponding(
    pair: ModelPair, host: nn.Module
) -> dict[nn.Parameter, tuple[nn.Parameter, nn.Parameter]]:
    """Each live tensor of the host with base's and post's."""
    slots, staying = slot_table(pair)
    if staying:
        name, slot = next(iter(staying.items()))
        raise PartError(
            f"{name} has {len(slot.base)} rows in base and {len(slot.post)} in post, so the pair "
            "has no weight difference there to add. Use a pair of one vocabulary size."
        )
    named = {id(slot.base): name for name, slot in slots.items()}
    ours, theirs = parameter_groups(pair.base), parameter_groups(host)
    lost = sorted(set(ours) ^ set(theirs))
    if lost:
        where = "the pair" if lost[0] in ours else "the host"
        raise PartError(
            f"only {where} has the parameter {lost[0]} ({len(lost)} are not in both), so the "
            "difference cannot be added tensor by tensor. Pass a host of the same architecture and "
            "configuration."
        )
    found: dict[nn.Parameter, tuple[nn.Parameter, nn.Parameter]] = {}
    for name, group in ours.items():
        for own, base in zip(theirs[name].live, group.live, strict=True):
            if own.shape != base.shape:
                raise PartError(
                    f"{name} has shape {list(own.shape)} in the host and {list(base.shape)} in the "
                    "pair, so the difference cannot be added. Pass a host of the same sizes."
                )
            found[own] = (base, slots[named[id(base)]].post)
    return found


@torch.no_grad()
def _sum(host: Tensor, base: Tensor, post: Tensor) -> Tensor:
    """Sum host + (post - base), in the host's dtype and place."""
    if host.dtype == base.dtype and torch.equal(host, base.to(host.device)):
        return post.to(host.device)
    out = torch.empty_like(host)
    step = max(1, _ENTRIES // max(1, host[0].numel()))
    for rows in (slice(start, start + step) for start in range(0, len(host), step)):
        change = (post[rows].to(base.device).double() - base[rows].double()).to(host.device)
        out[rows] = (host[rows].double() + change).to(host.dtype)
    return out
