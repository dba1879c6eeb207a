"""Names of places inside a model; the only speller of hook strings.

A site is a kind of activation at a layer, and at a head where the kind has heads. Its name is
`kind.layer` or `kind.layer.head`: `resid_pre.3`, `z.3.1`.
"""

from elicit.sites._shape import Shape, expand, resolve_site, resolve_sites
from elicit.sites._site import (
    HEAD_KINDS,
    KINDS,
    KV_KINDS,
    RESIDUAL_KINDS,
    Kind,
    Site,
    SiteError,
    attn_out,
    k,
    mlp_out,
    parse_site,
    pattern,
    q,
    resid_mid,
    resid_post,
    resid_pre,
    site_of_hook,
    v,
    z,
)

__all__ = [
    "HEAD_KINDS",
    "KINDS",
    "KV_KINDS",
    "RESIDUAL_KINDS",
    "Kind",
    "Shape",
    "Site",
    "SiteError",
    "attn_out",
    "expand",
    "k",
    "mlp_out",
    "parse_site",
    "pattern",
    "q",
    "resid_mid",
    "resid_post",
    "resid_pre",
    "resolve_sites",
    "resolve_site",
    "site_of_hook",
    "v",
    "z",
]
