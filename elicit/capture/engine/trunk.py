"""One forward, kept so that others can continue from any layer.

Whatever changes a model from layer `l` on shares the trunk below `l`. `record` keeps the calls of
the bridge's blocks, which works for every architecture: `run_layers` continues with the very mask
and rotary angles of the recorded run. `run_trunk` runs the written-out blocks and keeps what lanes
read as well: queries, keys, values and any other site.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from elicit.capture.engine.block import Heads, Layer
from elicit.capture.engine.calls import BlockCall, block_calls, stream_of
from elicit.capture.engine.decompose import Decomposed
from elicit.capture.engine.inputs import Inputs
from elicit.pair import Encoded, device_of, hugging_face_model
from elicit.sites import Kind, Site

Tap = Callable[[Kind, int, Tensor], Tensor]
"""Given the value at a kind of site and layer, returns the value to continue with."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Trunk:
    """One forward of a batch, kept at every layer."""

    resid: tuple[Float[Tensor, "batch pos d_model"], ...]
    """Residual stream entering each layer; the last entry leaves the last layer."""
    calls: tuple[BlockCall, ...]
    """What each block was called with besides the residual stream."""

    @property
    def n_layers(self) -> int:
        """Blocks in the model."""
        return len(self.calls)

    @property
    def n_rows(self) -> int:
        """Rows of the batch."""
        return self.resid[0].shape[0]

    @property
    def n_pos(self) -> int:
        """Columns of the batch, padding included."""
        return self.resid[0].shape[1]


@dataclass(frozen=True, eq=False, kw_only=True)
class LaneTrunk(Trunk):
    """A trunk that lanes can leave at any layer and position."""

    decomposed: Decomposed
    """The model that was run."""
    inputs: Inputs
    """Masks and angles."""
    q: tuple[Float[Tensor, "batch pos head d_head"], ...]
    """Rotated queries of each layer."""
    k: tuple[Float[Tensor, "batch pos kv_head d_head"], ...]
    """Rotated keys of each layer."""
    v: tuple[Float[Tensor, "batch pos kv_head d_head"], ...]
    """Values of each layer."""
    at: Mapping[Site, Tensor] = field(default_factory=dict)
    """Other sites that were kept, whole."""

    def value(self, site: Site) -> Tensor:
        """The trunk's activation at a site, all heads.

        Args:
            site: A residual stream, or a site that was kept.
        """
        if site.kind == "resid_pre":
            return self.resid[site.layer]
        if site.kind == "resid_post":
            return self.resid[site.layer + 1]
        return self.at[site.whole]


def record(
    model: nn.Module,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    position_ids: Int[Tensor, "batch pos"],
) -> Trunk:
    """Run a batch through the bridge once and keep the residual stream before each layer.

    Args:
        model: A bridge in raw mode.
        ids: Token ids.
        mask: 1 at tokens, 0 at padding.
        position_ids: Position of each token in its row.

    Raises:
        CaptureError: The blocks of this architecture are not called one after the other.
    """
    recorded = block_calls(model, ids, mask, position_ids)
    return Trunk(resid=recorded.resid, calls=recorded.calls)


def run_layers(
    model: nn.Module,
    trunk: Trunk,
    resid: Float[Tensor, "batch pos d_model"],
    *,
    first: int,
    last: int | None = None,
) -> Float[Tensor, "batch pos d_model"]:
    """Run the layers `first` to `last` on a residual stream.

    Args:
        model: The bridge whose layers are run.
        trunk: A forward over the same tokens: gives masks and positions.
        resid: Residual stream entering layer `first`.
        first: First layer to run; `n_layers` runs none.
        last: Last layer to run, included; None runs to the end.

    Returns:
        Residual stream leaving the last layer that was run.
    """
    blocks = list(model.blocks)  # pyright: ignore[reportArgumentType]
    end = len(blocks) if last is None else last + 1
    # The stream may come from the other model, on another device.
    resid = resid.to(trunk.resid[first].device)
    for layer in range(first, end):
        call = trunk.calls[layer]
        resid = stream_of(blocks[layer](resid, *call.args, **call.kwargs))
    return resid


def full_logits(
    model: nn.Module,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    position_ids: Int[Tensor, "batch pos"],
    *,
    columns: Int[Tensor, " column"] | None = None,
) -> Float[Tensor, "batch column d_vocab"]:
    """Logits of one plain forward: every resumed forward must agree with them.

    Args:
        model: A bridge in raw mode.
        ids: Token ids.
        mask: 1 at tokens, 0 at padding.
        position_ids: Position of each token in its row.
        columns: Columns of the batch that are unembedded; None unembeds all.
    """
    device = device_of(model)
    return hugging_face_model(model)(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=position_ids.to(device),
        use_cache=False,
        **({} if columns is None else {"logits_to_keep": columns.to(device)}),
    ).logits


def slot_logits(
    model: nn.Module,
    ids: Int[Tensor, "batch pos"],
    mask: Int[Tensor, "batch pos"],
    position_ids: Int[Tensor, "batch pos"],
    slots: tuple[Int[Tensor, " slot"], Int[Tensor, " slot"]],
) -> Float[Tensor, "slot d_vocab"]:
    """Logits of one plain forward at a few positions, with no other column unembedded.

    Args:
        model: A bridge in raw mode.
        ids: Token ids.
        mask: 1 at tokens, 0 at padding.
        position_ids: Position of each token in its row.
        slots: Row and column of each position.
    """
    columns, at = torch.unique(slots[1], return_inverse=True)
    logits = full_logits(model, ids, mask, position_ids, columns=columns)
    return logits[slots[0].to(logits.device), at.to(logits.device)]


def run_block(
    layer: Layer,
    index: int,
    inputs: Inputs,
    resid: Tensor,
    tap: Tap,
    *,
    past: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Heads]:
    """One block over whole rows.

    Args:
        layer: The block.
        index: Its number in the model.
        inputs: Masks and angles.
        resid: Residual stream entering it, before `tap` has seen it.
        tap: Sees every site in order and returns the value to continue with.
        past: Keys and values of tokens that are not run again; they come first among the sources of
            `inputs.allowed`.

    Returns:
        Residual stream leaving the block; its rotated queries and keys, and its values.
    """
    resid = tap("resid_pre", index, resid)
    normed = layer.norm_attn(resid)
    cos, sin = inputs.angles(index)
    q = layer.turn(tap("q", index, layer.query(normed)), layer.q_norm, cos, sin)
    k = layer.turn(tap("k", index, layer.key(normed)), layer.k_norm, cos, sin)
    v = tap("v", index, layer.value(normed))
    keys, values = k, v
    if past is not None:
        keys, values = torch.cat([past[0], k], dim=1), torch.cat([past[1], v], dim=1)
    z = tap("z", index, layer.attend(q, keys, values, inputs.allowed[index]))
    attn_out = tap("attn_out", index, layer.write_attn(z))
    middle = resid + attn_out
    if not layer.shape.parallel:
        middle = tap("resid_mid", index, middle)
    read = resid if layer.shape.parallel else middle
    mlp_out = tap("mlp_out", index, layer.write_mlp(read))
    return tap("resid_post", index, middle + mlp_out), Heads(q, k, v)


def run_trunk(decomposed: Decomposed, batch: Encoded, *, keep: Iterable[Site] = ()) -> LaneTrunk:
    """Run a batch through the written-out blocks once and keep what lanes continue from.

    Args:
        decomposed: The model.
        batch: Token ids, padded on either side.
        keep: Further sites whose activations are kept, whole.
    """
    requested = {site.whole for site in keep}
    kept: dict[Site, Tensor] = {}

    def tap(kind: Kind, layer: int, value: Tensor) -> Tensor:
        site = Site(kind, layer)
        if site in requested:
            kept[site] = value
        return value

    inputs = decomposed.begin(batch.ids, batch.mask, batch.position_ids)
    resid, heads = [inputs.resid], []
    for index, layer in enumerate(decomposed.layers):
        leaving, of_layer = run_block(layer, index, inputs, resid[-1], tap)
        resid.append(leaving)
        heads.append(of_layer)
    return LaneTrunk(
        resid=tuple(resid),
        calls=inputs.calls,
        decomposed=decomposed,
        inputs=inputs,
        q=tuple(each.q for each in heads),
        k=tuple(each.k for each in heads),
        v=tuple(each.v for each in heads),
        at=kept,
    )


class _Complete(Exception):
    """Ends a forward once every requested site was read; never leaves this module."""


def read_sites(decomposed: Decomposed, batch: Encoded, sites: Iterable[Site]) -> dict[Site, Tensor]:
    """Activations at some sites, whole; nothing after the last of them is run.

    Args:
        decomposed: The model.
        batch: Token ids.
        sites: Where to read.
    """
    requested = {site.whole for site in sites}
    at: dict[Site, Tensor] = {}

    def tap(kind: Kind, layer: int, value: Tensor) -> Tensor:
        if Site(kind, layer) in requested:
            at[Site(kind, layer)] = value
            if len(at) == len(requested):
                raise _Complete
        return value

    inputs = decomposed.begin(batch.ids, batch.mask, batch.position_ids)
    resid = inputs.resid
    with suppress(_Complete):
        for index in range(max((site.layer for site in requested), default=-1) + 1):
            resid, _ = run_block(decomposed.layers[index], index, inputs, resid, tap)
    return at


def gather_rows(
    value: Shaped[Tensor, "row pos ..."], rows: Int[Tensor, " lane"]
) -> Shaped[Tensor, "lane pos ..."]:
    """Rows of a shared tensor; a view where the tensor has one row for all."""
    if value.shape[0] == 1:
        return value.expand(len(rows), *value.shape[1:])
    return value[rows]
