"""What a model has of everything that a site names, and the sites that short names stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from elicit.sites._site import HEAD_KINDS, KV_KINDS, Kind, Site, SiteError, parse_site


@dataclass(frozen=True)
class Shape:
    """What a model has of everything that a site names."""

    n_layers: int
    """Blocks."""
    n_heads: int
    """Query heads a layer."""
    n_kv_heads: int
    """Key/value heads a layer."""
    d_model: int
    """Width of the residual stream."""
    d_head: int
    """Width of a head."""
    parallel: bool = False
    """Whether attention and MLP read the same residual stream, so that resid_mid is nowhere."""

    def heads(self, kind: Kind) -> int | None:
        """Heads of a kind of site; None if it has none."""
        if kind in HEAD_KINDS:
            return self.n_heads
        return self.n_kv_heads if kind in KV_KINDS else None

    def width(self, site: Site) -> int:
        """Numbers at one token of a site, all its heads together.

        Args:
            site: Any but a pattern.
        """
        if not site.has_heads:
            return self.d_model
        return self.d_head * (1 if site.head is not None else self.heads(site.kind) or 1)

    def check(self, sites: Sequence[Site]) -> None:
        """Refuse sites that this model does not have.

        Raises:
            SiteError: A layer or head is out of range, or a parallel block has no such site.
        """
        for site in sites:
            if site.layer >= self.n_layers:
                raise SiteError(
                    f"{site} is at layer {site.layer}, and the model has layers 0 to "
                    f"{self.n_layers - 1}, so nothing would happen there. Pass one of these."
                )
            heads = self.heads(site.kind)
            if heads is not None and site.head is not None and site.head >= heads:
                what = "key/value heads" if site.kind in KV_KINDS else "heads"
                raise SiteError(
                    f"{site} is at head {site.head}, and the model has {what} 0 to {heads - 1}, so "
                    "nothing would happen there. Pass one of these."
                )
            if self.parallel and site.kind == "resid_mid":
                raise SiteError(
                    f"{site} does not exist: attention and MLP of this model read the same "
                    "residual stream side by side. Use attn_out, mlp_out or resid_post."
                )

    def every(self, kind: Kind, *, by_head: bool = False) -> tuple[Site, ...]:
        """The sites of one kind in every layer, or in every head of every layer.

        Args:
            kind: What is read or written.
            by_head: Whether each head is a site of its own; kinds without heads have one a layer.
        """
        heads = self.heads(kind) if by_head else None
        sites = tuple(
            Site(kind, layer, head)
            for layer in range(self.n_layers)
            for head in ([None] if heads is None else range(heads))
        )
        self.check(sites)
        return sites


def expand(name: str, shape: Shape) -> tuple[Site, ...]:
    """The sites that a short name stands for: `resid_pre`, `z.heads`, `z.3.heads`, `z.3.1`.

    Args:
        name: A kind (every layer), a kind with `.heads` (every head of every layer), a kind and
            layer with `.heads`, or one site.
        shape: What the model has.

    Raises:
        SiteError: The name stands for nothing that the model has.
    """
    pieces = name.strip().split(".")
    by_head = len(pieces) > 1 and pieces[-1] == "heads"
    pieces = pieces[:-1] if by_head else pieces
    if len(pieces) == 1:
        kind = Site(cast(Kind, pieces[0]), 0).kind
        if by_head and shape.heads(kind) is None:
            raise SiteError(
                f"{name!r} asks for the heads of {kind}, which has none. Write {kind!r}."
            )
        return shape.every(kind, by_head=by_head)
    site = parse_site(".".join(pieces))
    shape.check([site])
    heads = shape.heads(site.kind)
    if not by_head:
        return (site,)
    if heads is None or site.head is not None:
        raise SiteError(f"{name!r} asks for the heads of {site}, which has none. Write {site}.")
    return tuple(Site(site.kind, site.layer, head) for head in range(heads))


def resolve_sites(sites: Sequence[Site | str], shape: Shape) -> tuple[Site, ...]:
    """Sites from sites and short names, each once and in order.

    Args:
        sites: Sites, or short names of one or several; see `expand`.
        shape: What the model has.

    Raises:
        SiteError: No site is given, or the model does not have one.
    """
    if isinstance(sites, str):
        raise SiteError(
            f"sites is the text {sites!r}, and its letters would be read as sites. Pass a list: "
            f"[{sites!r}]."
        )
    groups = [expand(site, shape) if isinstance(site, str) else (site,) for site in sites]
    resolved = tuple(dict.fromkeys(site for group in groups for site in group))
    if not resolved:
        raise SiteError("sites is empty, so nothing would be read or written. Pass at least one.")
    shape.check(resolved)
    return resolved


def resolve_site(site: Site | str, shape: Shape) -> Site:
    """A single site from a site or a name.

    Raises:
        SiteError: The name stands for several sites, or the model does not have it.
    """
    first, *others = resolve_sites([site], shape)
    if others:
        raise SiteError(
            f"{str(site)!r} stands for {1 + len(others)} sites where one is needed. Pass one of "
            f"them, for example {str(first)!r}."
        )
    return first
