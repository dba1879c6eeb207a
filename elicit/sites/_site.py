"""Sites and their names."""

import difflib
import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

from elicit.results import ElicitError

Kind = Literal[
    "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "z", "pattern", "q", "k", "v"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
HEAD_KINDS: frozenset[Kind] = frozenset({"z", "pattern", "q"})
"""Kinds with one slice for each query head."""
KV_KINDS: frozenset[Kind] = frozenset({"k", "v"})
"""Kinds with one slice for each key/value head; under grouped-query attention these are fewer."""
RESIDUAL_KINDS: frozenset[Kind] = frozenset({"resid_pre", "resid_mid", "resid_post"})
"""Kinds that hold everything the layers before have written, not what one component adds."""

_HOOKS: dict[Kind, str] = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "z": "attn.hook_z",
    "pattern": "attn.hook_pattern",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
}


class SiteError(ElicitError):
    """A place that the model does not have."""


@dataclass(frozen=True, order=True)
class Site:
    """One place inside a model.

    `q`, `k` and `v` are projections before any norm and rotation; `attn_out` and `mlp_out` are what
    is added to the residual stream, so after a post-norm where there is one; `z` is what each head
    hands to the output projection.
    """

    kind: Kind
    """What is read or written there."""
    layer: int
    """From 0."""
    head: int | None = None
    """One head (a key/value head for k and v), or None for all."""

    def __post_init__(self) -> None:
        """Refuse what no model has."""
        if self.kind not in KINDS:
            close = difflib.get_close_matches(str(self.kind), KINDS, n=1)
            raise SiteError(
                f"there is no kind of site {self.kind!r}"
                + (f" (did you mean {close[0]!r}?)" if close else "")
                + f", so nothing would be read or written. Kinds are {', '.join(KINDS)}."
            )
        if self.layer < 0:
            raise SiteError(
                f"layer is {self.layer}, and layers are counted from 0. Pass 0 or more."
            )
        if self.head is not None and not self.has_heads:
            raise SiteError(
                f"{self.kind} has no heads, so head {self.head} of it is nowhere. Leave head out, "
                "or use z, pattern, q, k or v."
            )
        if self.head is not None and self.head < 0:
            raise SiteError(f"head is {self.head}, and heads are counted from 0. Pass 0 or more.")

    @property
    def has_heads(self) -> bool:
        """Whether the activation has an axis of heads."""
        return self.kind in HEAD_KINDS or self.kind in KV_KINDS

    @property
    def hook(self) -> str:
        """TransformerLens's name of the hook point."""
        return f"blocks.{self.layer}.{_HOOKS[self.kind]}"

    @property
    def whole(self) -> "Site":
        """The same place with all heads."""
        return Site(self.kind, self.layer)

    def __str__(self) -> str:
        """The name, as `parse_site` reads it."""
        return f"{self.kind}.{self.layer}" + ("" if self.head is None else f".{self.head}")


def resid_pre(layer: int) -> Site:
    """Residual stream entering a layer."""
    return Site("resid_pre", layer)


def resid_mid(layer: int) -> Site:
    """Residual stream between attention and MLP; parallel blocks have none."""
    return Site("resid_mid", layer)


def resid_post(layer: int) -> Site:
    """Residual stream leaving a layer."""
    return Site("resid_post", layer)


def attn_out(layer: int) -> Site:
    """What attention adds to the residual stream."""
    return Site("attn_out", layer)


def mlp_out(layer: int) -> Site:
    """What the MLP adds to the residual stream."""
    return Site("mlp_out", layer)


def z(layer: int, head: int | None = None) -> Site:
    """Values mixed by each head, before the output projection."""
    return Site("z", layer, head)


def pattern(layer: int, head: int | None = None) -> Site:
    """Attention probabilities of each head."""
    return Site("pattern", layer, head)


def q(layer: int, head: int | None = None) -> Site:
    """Queries as projected, before norm and rotation."""
    return Site("q", layer, head)


def k(layer: int, head: int | None = None) -> Site:
    """Keys as projected, before norm and rotation; heads are key/value heads."""
    return Site("k", layer, head)


def v(layer: int, head: int | None = None) -> Site:
    """Values as projected; heads are key/value heads."""
    return Site("v", layer, head)


def parse_site(name: str) -> Site:
    """The site of a name such as `resid_pre.3` or `z.3.1`.

    Raises:
        SiteError: The name is no site's.

    >>> parse_site("z.3.1")
    Site(kind='z', layer=3, head=1)
    """
    kind, *numbers = name.strip().split(".")
    if not 1 <= len(numbers) <= 2 or not all(number.isdecimal() for number in numbers):
        raise SiteError(
            f"{name!r} names no site. Write kind.layer or kind.layer.head, for example resid_pre.3 "
            "or z.3.1."
        )
    return Site(cast(Kind, kind), *(int(number) for number in numbers))


_LAYER_MODULE = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)(?:\.hook_out)?$")
"""A block of a Hugging Face model, or a bridge's own name of where a block ends."""


def site_of_hook(name: str) -> Site:
    """The site of a hook point's name, in TransformerLens's spelling or as a module's output.

    Args:
        name: For example `blocks.3.hook_resid_post`, or `model.layers.3`.

    Raises:
        SiteError: No site is at that hook point.

    >>> site_of_hook("blocks.3.attn.hook_z")
    Site(kind='z', layer=3, head=None)
    """
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    for kind, hook in _HOOKS.items():
        if block and block[2] == hook:
            return Site(kind, int(block[1]))
    module = _LAYER_MODULE.search(name)
    if module:
        return Site("resid_post", int(module[1]))
    raise SiteError(
        f"{name!r} is the hook point of no site, so it is not known where it is read. Sites are "
        f"{', '.join(f'blocks.N.{hook}' for hook in _HOOKS.values())}, and model.layers.N."
    )
