"""Path patching: exact direct effect of one sender on some receivers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from elicit.capture import run_block
from elicit.patching.attribution._forward import run_from
from elicit.patching.attribution._setup import Case
from elicit.patching.errors import PatchError
from elicit.sites import RESIDUAL_KINDS, Kind, Shape, Site

LOGITS = "logits"
"""Name of the output as a receiver."""
_ORDER: dict[Kind, int] = {
    "resid_pre": 0,
    "q": 1,
    "k": 1,
    "v": 1,
    "z": 1,
    "attn_out": 1,
    "resid_mid": 2,
    "mlp_out": 3,
    "resid_post": 4,
}
"""Order of each kind within its layer."""


@dataclass(frozen=True, eq=False, kw_only=True)
class HostRun:
    """Activations of the unpatched host, to which other components are frozen."""

    at: Mapping[Site, Tensor]
    """Activations at every whole site."""
    leaving: Float[Tensor, "row pos d_model"]
    """Residual stream after the last layer."""
    score: Float[Tensor, " row"]
    """The metric."""


def host_run(case: Case) -> HostRun:
    """Run the host and keep every activation."""
    at: dict[Site, Tensor] = {}

    def keep(kind: Kind, layer: int, value: Tensor) -> Tensor:
        at[Site(kind, layer)] = value
        return value

    with torch.no_grad():
        leaving, _ = run_from(case.host, case.inputs, case.inputs.resid, keep)
        return HostRun(at=at, leaving=leaving, score=case.score(leaving))


def refuse_path(sender: Site, receivers: Sequence[Site], shape: Shape, *, logits: bool) -> None:
    """Refuse a path that does not exist.

    Raises:
        PatchError: There is no receiver, or one is not downstream of the sender.
    """
    if not receivers and not logits:
        raise PatchError("receivers is empty, so there is no path. Pass sites or 'logits'.")
    for site in receivers:
        if not _hears(site, sender, shape):
            raise PatchError(
                f"{site} does not read what {sender} writes to the residual stream, so the effect "
                "would be exactly 0 for every prompt. Pass a receiver downstream of the sender."
            )


def _hears(receiver: Site, sender: Site, shape: Shape) -> bool:
    if receiver.layer != sender.layer:
        return receiver.layer > sender.layer
    low, high = _ORDER[sender.kind], _ORDER[receiver.kind]
    if shape.parallel and receiver.kind == "mlp_out":
        # Parallel to attention: it reads the stream entering the layer.
        return low == 0
    return high > low


def message(
    case: Case, host: HostRun, sender: Site, inside: Float[Tensor, "row pos"]
) -> Float[Tensor, "row pos d_model"]:
    """Change of the residual stream directly after a sender when it takes the donor's value.

    `inside`: 1 at the positions taken from the donor.
    """
    put = _replaced(host.at[sender.whole], case.given[sender.whole], sender.head, inside)
    if sender.kind in (*RESIDUAL_KINDS, "attn_out", "mlp_out"):
        return put - host.at[sender]
    found: list[Tensor] = []

    def tap(kind: Kind, layer: int, value: Tensor) -> Tensor:
        if Site(kind, layer) == sender.whole:
            return put
        if kind == "attn_out":
            found.append(value)
        return value

    resid = host.at[Site("resid_pre", sender.layer)]
    run_block(case.host.layers[sender.layer], sender.layer, case.inputs, resid, tap)
    return found[0] - host.at[Site("attn_out", sender.layer)]


def _replaced(own: Tensor, theirs: Tensor, head: int | None, inside: Tensor) -> Tensor:
    """The host's value with the donor's at some positions, for one head or all."""
    where = (inside > 0).reshape(*inside.shape, *[1] * (own.ndim - 2))
    if head is not None:
        only = torch.arange(own.shape[2], device=own.device) == head
        where = where & only[:, None]
    return torch.where(where, theirs.to(own.dtype), own)


def heard(
    case: Case, host: HostRun, receiver: Site, said: Float[Tensor, "row pos d_model"]
) -> Tensor:
    """A receiver's value when the message is added to its input and all else is the host's."""
    layer, kind = case.host.layers[receiver.layer], receiver.kind
    if kind in RESIDUAL_KINDS:
        return host.at[receiver.whole] + said
    if kind == "mlp_out":
        before: Kind = "resid_pre" if case.host.shape.parallel else "resid_mid"
        return layer.write_mlp(host.at[Site(before, receiver.layer)] + said)
    normed = layer.norm_attn(host.at[Site("resid_pre", receiver.layer)] + said)
    if kind in ("q", "k", "v"):
        return {"q": layer.query, "k": layer.key, "v": layer.value}[kind](normed)
    cos, sin = case.inputs.angles(receiver.layer)
    q = layer.turn(layer.query(normed), layer.q_norm, cos, sin)
    k = layer.turn(layer.key(normed), layer.k_norm, cos, sin)
    z = layer.attend(q, k, layer.value(normed), case.inputs.allowed[receiver.layer])
    return z if kind == "z" else layer.write_attn(z)


@torch.no_grad()
def path_scores(
    case: Case,
    host: HostRun,
    sender: Site,
    receivers: Sequence[Site],
    inside: Float[Tensor, "row pos"],
    *,
    logits: bool,
) -> Float[Tensor, " row"]:
    """Metric when the sender's donor value reaches only the receivers, directly.

    `inside`: 1 at the sender's positions taken from the donor.

    Source: Wang et al. 2022 (IOI, arXiv:2211.00593), path patching, with the MLPs between frozen
        like the heads: only the residual stream carries the message. Nothing between is run, since
        what is frozen adds to the stream exactly what it adds in the host.
    """
    said = message(case, host, sender, inside)
    put = [(receiver, heard(case, host, receiver, said)) for receiver in receivers]
    everywhere = torch.ones_like(inside)
    leaving = host.leaving
    if put:
        first = min(site.layer for site in receivers)

        def tap(kind: Kind, layer: int, value: Tensor) -> Tensor:
            for site, new in put:
                if site.whole == Site(kind, layer):
                    # Other heads of the site keep the values that earlier receivers gave them.
                    value = _replaced(value, new, site.head, everywhere)
            return value

        resid = host.at[Site("resid_pre", first)]
        leaving, _ = run_from(case.host, case.inputs, resid, tap, first=first)
    return case.score(leaving + said if logits else leaving)
