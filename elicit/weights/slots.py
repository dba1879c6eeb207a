"""The live tensors of both models, and where each belongs."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from elicit.pair import ModelPair, ParameterGroup, parameter_groups
from elicit.results import ElicitError

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

    @property
    def values(self) -> tuple[Tensor, Tensor]:
        """Base's and post's tensor side by side, on base's device."""
        return self.base.data, self.post.data.to(self.base.device)


def slots_of(pair: ModelPair) -> dict[str, Slot]:
    """Every live tensor that can move between the models with its place, by name.

    Embeddings of vocabularies of two sizes (a pair loaded with `vocab="shared"`) are left out:
    moved, they would change how many ids the host knows. They stay with their model, and no part
    holds them.

    Raises:
        PartError: The models' tensors do not correspond, or no part would own one.
    """
    return dict(slot_table(pair)[0])


_KNOWN: WeakKeyDictionary[ModelPair, tuple[dict[str, Slot], dict[str, Slot]]] = WeakKeyDictionary()


def slot_table(pair: ModelPair) -> tuple[dict[str, Slot], dict[str, Slot]]:
    """Tensors that can move, and embeddings of two sizes, which cannot; computed once per pair.

    A sweep needs every part, and walking both models' modules takes as long as a small forward.

    Raises:
        PartError: See `slots_of`.
    """
    if pair not in _KNOWN:
        _KNOWN[pair] = _walked(pair)
    return _KNOWN[pair]


def _walked(pair: ModelPair) -> tuple[dict[str, Slot], dict[str, Slot]]:
    base, post = parameter_groups(pair.base), parameter_groups(pair.post)
    moving: dict[str, Slot] = {}
    staying: dict[str, Slot] = {}
    for name, group in base.items():
        twin = post.get(name)
        if twin is None or len(twin.live) != len(group.live):
            raise PartError(
                f"base has the parameter {name} and post does not, so it cannot be moved between "
                "them. Compare models of one architecture and one configuration."
            )
        for slot_name, letter, b, p in _live(group, twin):
            slot = Slot(slot_name, _place(name, letter, tuple(base)), b, p)
            if b.shape == p.shape:
                moving[slot_name] = slot
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
            "never become post. Load both with the same configuration (a bias of zeros changes "
            "nothing)."
        )
    return moving, staying


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
        "part owns it and a full graft would miss it. Report the architecture."
    )
