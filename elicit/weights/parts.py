"""Names for pieces of a model: which parameters belong to which part.

A part is what a sweep moves at once: a layer, its attention or MLP, one matrix, its norms, or one
of the pieces outside the layers. The gain of a norm belongs to what reads it (for post-norms: to
what wrote what they scale), so that moving `L3.attn` moves everything that attention of layer 3
does.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import nn

from elicit.pair import ModelPair, ParameterGroup, parameter_groups
from elicit.results import ElicitError

KINDS = ("layer", "attn", "mlp", "norms", "matrix", "outside")
"""Sizes of part. `outside` holds the embedding, positions, unembedding and final norm."""

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.(.+)$")
_MATRICES = {
    "q": ("q_proj", "query", "q"),
    "k": ("k_proj", "key", "k"),
    "v": ("v_proj", "value", "v"),
    "o": ("o_proj", "attn.c_proj", "attention.dense", "out_proj"),
    "gate": ("gate_proj",),
    "up": ("up_proj", "mlp.c_fc", "dense_h_to_4h", "fc1", "fc_in"),
    "down": ("down_proj", "mlp.c_proj", "dense_4h_to_h", "fc2", "fc_out"),
}
_FUSED = {
    ("c_attn", 3): ("q", "k", "v"),
    ("query_key_value", 3): ("q", "k", "v"),
    ("qkv_proj", 3): ("q", "k", "v"),
    ("gate_up_proj", 2): ("gate", "up"),
}


class PartError(ElicitError):
    """A part that the model does not have, or a parameter that no part owns."""


@dataclass(frozen=True)
class Place:
    """Where one live tensor belongs."""

    layer: int
    """-1 outside the layers."""
    block: str
    """`attn`, `mlp`, or the name of a piece outside the layers."""
    matrix: str
    """`q` ... `down`, `norm`, or the name of a piece outside the layers."""


@dataclass(frozen=True, eq=False)
class Slot:
    """One live tensor of the forward, in both models."""

    name: str
    """Checkpoint name; pieces of a fused projection carry their letter, `...c_attn.weight[q]`."""
    place: Place
    base: nn.Parameter
    post: nn.Parameter


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
        """Both parts at once."""
        return Part(
            name=f"{self.name}+{other.name}",
            kind="union",
            layers=tuple(sorted({*self.layers, *other.layers})),
            slots=tuple(dict.fromkeys((*self.slots, *other.slots))),
        )


def slots_of(pair: ModelPair) -> dict[str, Slot]:
    """Every live tensor that can move between the models with its place, by name.

    Embeddings of vocabularies of two sizes (a pair loaded with `vocab="shared"`) are left out:
    moved, they would change how many ids the host knows. They stay with their model, and no part
    holds them.

    Args:
        pair: The two models.

    Raises:
        PartError: The models' tensors do not correspond, or no part would own one.
    """
    return dict(_slots(pair)[0])


_KNOWN: WeakKeyDictionary[ModelPair, tuple[dict[str, Slot], dict[str, Slot]]] = WeakKeyDictionary()


def _slots(pair: ModelPair) -> tuple[dict[str, Slot], dict[str, Slot]]:
    """Tensors that can move, and embeddings of two sizes, which cannot; found once a pair.

    A sweep asks for every part, and walking both models' modules takes as long as a small forward.
    """
    if pair not in _KNOWN:
        _KNOWN[pair] = _walked(pair)
    return _KNOWN[pair]


def _walked(pair: ModelPair) -> tuple[dict[str, Slot], dict[str, Slot]]:
    base, post = parameter_groups(pair.base), parameter_groups(pair.post)
    found: dict[str, Slot] = {}
    staying: dict[str, Slot] = {}
    for name, group in base.items():
        twin = post.get(name)
        if twin is None or len(twin.live) != len(group.live):
            raise PartError(
                f"base has the parameter {name} and post has no such one, so it cannot be moved "
                f"between them. "
                "Compare models of one architecture and one configuration."
            )
        for slot_name, letter, b, p in _live(group, twin):
            slot = Slot(slot_name, _place(name, letter, tuple(base)), b, p)
            if b.shape == p.shape:
                found[slot_name] = slot
            elif slot.place.block in ("embed", "unembed"):
                staying[slot_name] = slot
            else:
                raise PartError(
                    f"{slot_name} has shape {list(b.shape)} in base and {list(p.shape)} in post, "
                    "so it cannot be moved between them. "
                    "Compare models of one architecture and one configuration."
                )
    extra = set(post) - set(base)
    if extra:
        raise PartError(
            f"post has {len(extra)} parameters that base lacks ({min(extra)} first), so base could "
            f"never become post. "
            "Load both with the same configuration (a bias of zeros changes nothing)."
        )
    return found, staying


def _live(
    group: ParameterGroup, twin: ParameterGroup
) -> Iterator[tuple[str, str, nn.Parameter, nn.Parameter]]:
    if not group.fused:
        yield group.name, "", group.live[0], twin.live[0]
        return
    stem = group.name.rsplit(".", 2)[-2]
    letters = _FUSED.get((stem, len(group.live)), tuple(str(i) for i in range(len(group.live))))
    for letter, b, p in zip(letters, group.live, twin.live, strict=True):
        yield f"{group.name}[{letter}]", letter, b, p


def _place(name: str, letter: str, names: Sequence[str]) -> Place:
    match = _LAYER.search(name)
    if match is None:
        piece = _outside(name)
        return Place(-1, piece, piece)
    layer, rest = int(match[1]), match[2]
    if letter:
        return Place(layer, "mlp" if letter in ("gate", "up") else "attn", letter)
    norm = re.search(r"norm|(?:^|\.)ln_?\d", rest)
    block = (
        _norm_block(rest, names)
        if norm
        else ("mlp" if re.search(r"mlp|feed_forward|fc", rest) else "attn")
    )
    if norm:
        return Place(layer, block, "norm")
    stem = rest.rsplit(".", 1)[0]
    for matrix, endings in _MATRICES.items():
        if any(stem == ending or stem.endswith("." + ending) for ending in endings):
            return Place(layer, block, matrix)
    return Place(layer, block, stem)


def _norm_block(rest: str, names: Sequence[str]) -> str:
    """Which half of the block a norm belongs to."""
    if re.search(r"feedforward|feed_forward|mlp|ln_2|ln2", rest):
        return "mlp"
    if "post_attention" in rest:
        # In Llama this norm feeds the MLP; where the MLP has its own norms it scales attention's
        # output.
        own = any("feedforward_layernorm" in name for name in names)
        return "attn" if own else "mlp"
    return "attn"


def _outside(name: str) -> str:
    if re.search(r"wpe|position", name):
        return "pos_embed"
    if re.search(r"lm_head|embed_out|unembed", name):
        return "unembed"
    if re.search(r"embed|wte", name):
        return "embed"
    if "norm" in name or re.search(r"ln_f", name):
        return "final_norm"
    raise PartError(
        f"the parameter {name} lies in no layer and is no embedding, unembedding or norm, so no "
        f"part owns it and "
        "a full graft would miss it. Report the architecture."
    )


def all_parts(pair: ModelPair) -> dict[str, Part]:
    """Every single part of a pair, by name, layers first; `all` is every tensor that can move.

    Args:
        pair: The two models.
    """
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
    known = all_parts(pair)
    joined: Part | None = None
    for piece in name.split("+"):
        interval = re.fullmatch(r"L(\d+)-L(\d+)", piece)
        if interval and int(interval[1]) <= int(interval[2]) < pair.n_layers:
            found = layer_interval(pair, int(interval[1]), int(interval[2]))
        elif piece in known:
            found = known[piece]
        elif slot := next((s for s in _slots(pair)[1].values() if s.place.block == piece), None):
            raise PartError(
                f"{piece} ({slot.name}) has {len(slot.base)} rows in base and {len(slot.post)} in "
                "post, so moving it would change how many ids the host knows. It stays with its "
                "model; move layers, or `all` for everything else."
            )
        else:
            close = difflib.get_close_matches(piece, known, n=3)
            raise PartError(
                f"the pair has no part {piece!r} among its {len(known)} ({pair.n_layers} layers), "
                f"so nothing would "
                f"change. {'Close: ' + ', '.join(close) + '. ' if close else ''}Parts look like "
                f"L0, L0.attn, L0.q, L0-L2, embed."
            )
        joined = found if joined is None else joined | found
    assert joined is not None
    return joined


def layer_interval(pair: ModelPair, first: int, last: int) -> Part:
    """All of the layers from `first` to `last`, both included."""
    known = all_parts(pair)
    slots = [slot for layer in range(first, last + 1) for slot in known[f"L{layer}"].slots]
    return Part(f"L{first}-L{last}", "interval", tuple(range(first, last + 1)), tuple(slots))


def is_changed(slots: dict[str, Slot], part: Part) -> bool:
    """Whether post differs from base in any entry of a part."""
    return any(not torch.equal(slots[name].base, slots[name].post) for name in part.slots)


def changed_layers(pair: ModelPair) -> tuple[int, ...]:
    """Layers in which any weight differs."""
    slots = slots_of(pair)
    return tuple(part.layers[0] for part in parts_of(pair, "layer") if is_changed(slots, part))
