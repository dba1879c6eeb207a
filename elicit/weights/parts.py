"""Names of the parts of a model: which parameters belong to which part.

A part is what a sweep moves in one step: a layer, its attention or MLP, one matrix, its norms, or
one of the pieces outside the layers. The gain of a norm belongs to what reads it (post-norms: to
what wrote what they scale), so moving `L3.attn` moves everything that attention of layer 3 does.
"""

import difflib
import re
from dataclasses import dataclass

import torch

from elicit.pair import ModelPair, is_outline, outline_changes
from elicit.weights.slots import PartError, Slot, slot_table, slots_of

KINDS = ("layer", "attn", "mlp", "norms", "matrix", "outside")
"""Sizes of part. `outside` holds the embedding, positions, unembedding and final norm."""


@dataclass(frozen=True)
class Part:
    """A named set of live tensors that a sweep moves together."""

    name: str
    """`L3`, `L3.attn`, `L3.q`, `L2-L4`, `embed`, `all`."""
    kind: str
    layers: tuple[int, ...]
    """Layers that it lies in; empty outside the layers."""
    slots: tuple[str, ...]

    def __or__(self, other: "Part") -> "Part":
        """Both parts together."""
        return Part(
            name=f"{self.name}+{other.name}",
            kind="union",
            layers=tuple(sorted({*self.layers, *other.layers})),
            slots=tuple(dict.fromkeys((*self.slots, *other.slots))),
        )


def all_parts(pair: ModelPair) -> dict[str, Part]:
    """Every single part of a pair, by name, layers first; `all` is every tensor that can move."""
    slots = slots_of(pair)
    n_layers = pair.n_layers
    table: dict[tuple[str, str, tuple[int, ...]], list[str]] = {}
    for name, slot in slots.items():
        place = slot.place
        if place.layer < 0:
            table.setdefault((place.block, "outside", ()), []).append(name)
            continue
        at = (place.layer,)
        table.setdefault((f"L{place.layer}", "layer", at), []).append(name)
        table.setdefault((f"L{place.layer}.{place.block}", place.block, at), []).append(name)
        if place.matrix == "norm":
            table.setdefault((f"L{place.layer}.norms", "norms", at), []).append(name)
        else:
            table.setdefault((f"L{place.layer}.{place.matrix}", "matrix", at), []).append(name)
    parts = [
        Part(name, kind, layers, tuple(owned)) for (name, kind, layers), owned in table.items()
    ]
    parts.sort(key=lambda part: (KINDS.index(part.kind), part.layers))
    everything = Part("all", "all", tuple(range(n_layers)), tuple(slots))
    return {part.name: part for part in [*parts, everything]}


def parts_of(pair: ModelPair, kind: str) -> tuple[Part, ...]:
    """Single parts of one kind, in order of layer.

    Raises:
        PartError: No such kind.
    """
    if kind not in KINDS:
        raise PartError(
            f"there are no parts of kind {kind!r}, so there is nothing to sweep. Kinds: "
            f"{', '.join(KINDS)}."
        )
    return tuple(part for part in all_parts(pair).values() if part.kind == kind)


def part(pair: ModelPair, name: str) -> Part:
    """One part by its name; `L1-L3` is an interval of layers and `+` joins parts.

    Raises:
        PartError: The model has no such part (close names are suggested), or the part is an
            embedding of two sizes.
    """
    known, staying = all_parts(pair), slot_table(pair)[1]
    joined: Part | None = None
    for piece in name.split("+"):
        interval = re.fullmatch(r"L(\d+)-L(\d+)", piece)
        if interval and int(interval[1]) <= int(interval[2]) < pair.n_layers:
            found = layer_interval(pair, int(interval[1]), int(interval[2]))
        elif piece in known:
            found = known[piece]
        elif slot := next((s for s in staying.values() if s.place.block == piece), None):
            raise PartError(
                f"{piece} ({slot.name}) has {len(slot.base)} rows in base and {len(slot.post)} in "
                "post, so moving it would change how many ids the host knows. It stays with its "
                "model; move layers, or `all` for everything else."
            )
        else:
            close = difflib.get_close_matches(piece, known, n=3)
            raise PartError(
                f"the pair has no part {piece!r} among its {len(known)} ({pair.n_layers} layers), "
                f"so nothing would change. {'Close: ' + ', '.join(close) + '. ' if close else ''}"
                "Parts look like L0, L0.attn, L0.q, L0-L2, embed."
            )
        joined = found if joined is None else joined | found
    assert joined is not None
    return joined


def layer_interval(pair: ModelPair, first: int, last: int) -> Part:
    """All of the layers from `first` to `last`, both included."""
    known = all_parts(pair)
    slots = [slot for layer in range(first, last + 1) for slot in known[f"L{layer}"].slots]
    return Part(f"L{first}-L{last}", "interval", tuple(range(first, last + 1)), tuple(slots))


def is_changed(pair: ModelPair, part: Part) -> bool:
    """Whether post differs from base in any entry of a part."""
    slots = slots_of(pair)
    return any(_differs(pair, name, slots[name]) for name in part.slots)


def changed_slots(pair: ModelPair) -> frozenset[str]:
    """Names of the tensors in which any entry differs; of an outline, those that may."""
    slots = slots_of(pair).items()
    return frozenset(name for name, slot in slots if _differs(pair, name, slot))


def _differs(pair: ModelPair, name: str, slot: Slot) -> bool:
    if is_outline(pair):
        return outline_changes(pair, name)
    if slot.base.is_meta or slot.post.is_meta:
        raise PartError(
            f"{name} cannot be read between two calls (accelerate keeps it in host memory or on "
            "disk), so it can neither be compared nor moved between the models. Load the pair with "
            "offload=True, which keeps all weights in host memory and readable, or with "
            "share_weights, which holds what is equal in both models once."
        )
    return not torch.equal(*slot.values)


def one_embedding(pair: ModelPair) -> bool:
    """Whether both models enter the first layer, and leave the last one, in the same way."""
    slots = slots_of(pair)
    changed = changed_slots(pair)
    return not slot_table(pair)[1] and all(slots[name].place.layer >= 0 for name in changed)


def changed_layers(pair: ModelPair) -> tuple[int, ...]:
    """Layers in which any weight differs."""
    return tuple(part.layers[0] for part in parts_of(pair, "layer") if is_changed(pair, part))
