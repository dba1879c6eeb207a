"""The trunk that lanes leave: one forward with everything kept that a lane goes on from."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from jaxtyping import Float, Int, Shaped
from torch import Tensor

from elicit.capture.anatomy import Anatomy
from elicit.capture.block import Heads, Inputs, Layer
from elicit.pair import Encoded
from elicit.sites import Kind, Site

Tap = Callable[[Kind, int, Tensor], Tensor]
"""Given the value at a kind of site and layer, returns what goes on instead."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SharedTrunk:
    """One forward of a batch, kept so that lanes can leave it at any layer and position."""

    anatomy: Anatomy
    """The model that was run."""
    inputs: Inputs
    """Masks and angles."""
    resid: tuple[Float[Tensor, "batch pos d_model"], ...]
    """Residual stream entering each layer; the last entry leaves the last layer."""
    q: tuple[Float[Tensor, "batch pos head d_head"], ...]
    """Turned queries of each layer."""
    k: tuple[Float[Tensor, "batch pos kv_head d_head"], ...]
    """Turned keys of each layer."""
    v: tuple[Float[Tensor, "batch pos kv_head d_head"], ...]
    """Values of each layer."""
    at: Mapping[Site, Tensor] = field(default_factory=dict)
    """Whatever else was asked for, by whole site."""

    @property
    def n_rows(self) -> int:
        """Rows of the batch."""
        return self.resid[0].shape[0]

    @property
    def n_pos(self) -> int:
        """Columns of the batch, padding included."""
        return self.resid[0].shape[1]

    def value(self, site: Site) -> Tensor:
        """The trunk's own activation at a site, all heads.

        Args:
            site: A residual stream, or a site that was kept.
        """
        if site.kind == "resid_pre":
            return self.resid[site.layer]
        if site.kind == "resid_post":
            return self.resid[site.layer + 1]
        return self.at[site.whole]


def angles(
    inputs: Inputs, layer: int
) -> tuple[Float[Tensor, "row pos d_rotary"] | None, Float[Tensor, "row pos d_rotary"] | None]:
    """Cosines and sines of a layer; None for both where nothing is rotated."""
    rotary = inputs.rotary[layer]
    return (None, None) if rotary is None else (rotary.cos, rotary.sin)


def run_block(
    layer: Layer, index: int, inputs: Inputs, resid: Tensor, tap: Tap
) -> tuple[Tensor, Heads]:
    """One block over whole rows.

    Args:
        layer: The block.
        index: Its place in the model.
        inputs: Masks and angles.
        resid: Residual stream entering it, before `tap` has seen it.
        tap: Sees every site in order and says what goes on.

    Returns:
        Residual stream leaving the block; its turned queries and keys, and its values.
    """
    resid = tap("resid_pre", index, resid)
    normed = layer.norm_attn(resid)
    cos, sin = angles(inputs, index)
    q = layer.turn(tap("q", index, layer.query(normed)), layer.q_norm, cos, sin)
    k = layer.turn(tap("k", index, layer.key(normed)), layer.k_norm, cos, sin)
    v = tap("v", index, layer.value(normed))
    z = tap("z", index, layer.attend(q, k, v, inputs.allowed[index]))
    attn_out = tap("attn_out", index, layer.write_attn(z))
    middle = resid + attn_out
    if not layer.shape.parallel:
        middle = tap("resid_mid", index, middle)
    read = resid if layer.shape.parallel else middle
    mlp_out = tap("mlp_out", index, layer.write_mlp(read))
    return tap("resid_post", index, middle + mlp_out), Heads(q, k, v)


def run_trunk(anatomy: Anatomy, batch: Encoded, *, keep: Iterable[Site] = ()) -> SharedTrunk:
    """Run a batch once and keep what lanes go on from.

    Args:
        anatomy: The model.
        batch: Token ids, padded on either side.
        keep: Further sites whose activations are kept, whole.
    """
    wanted = {site.whole for site in keep}
    kept: dict[Site, Tensor] = {}

    def tap(kind: Kind, layer: int, value: Tensor) -> Tensor:
        site = Site(kind, layer)
        if site in wanted:
            kept[site] = value
        return value

    inputs = anatomy.begin(batch.ids, batch.mask, batch.position_ids)
    resid, heads = [inputs.resid], []
    for index, layer in enumerate(anatomy.layers):
        leaving, found = run_block(layer, index, inputs, resid[-1], tap)
        resid.append(leaving)
        heads.append(found)
    return SharedTrunk(
        anatomy=anatomy,
        inputs=inputs,
        resid=tuple(resid),
        q=tuple(each.q for each in heads),
        k=tuple(each.k for each in heads),
        v=tuple(each.v for each in heads),
        at=kept,
    )


class _Done(Exception):
    """Ends a forward as soon as everything asked for is there; never leaves this module."""


def read_sites(anatomy: Anatomy, batch: Encoded, sites: Iterable[Site]) -> dict[Site, Tensor]:
    """Activations at some sites, whole; whatever comes after the last of them is not run.

    Args:
        anatomy: The model.
        batch: Token ids.
        sites: Where to read.
    """
    wanted = {site.whole for site in sites}
    found: dict[Site, Tensor] = {}

    def tap(kind: Kind, layer: int, value: Tensor) -> Tensor:
        if Site(kind, layer) in wanted:
            found[Site(kind, layer)] = value
            if len(found) == len(wanted):
                raise _Done
        return value

    inputs = anatomy.begin(batch.ids, batch.mask, batch.position_ids)
    resid = inputs.resid
    with suppress(_Done):
        for index in range(max((site.layer for site in wanted), default=-1) + 1):
            resid, _ = run_block(anatomy.layers[index], index, inputs, resid, tap)
    return found


def gather_rows(
    value: Shaped[Tensor, "row pos ..."], rows: Int[Tensor, " lane"]
) -> Shaped[Tensor, "lane pos ..."]:
    """Rows of a shared tensor; a view where the tensor has one row for all."""
    if value.shape[0] == 1:
        return value.expand(len(rows), *value.shape[1:])
    return value[rows]
