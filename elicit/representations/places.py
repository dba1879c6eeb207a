"""Which sites are read where none are named."""

from collections.abc import Sequence

from elicit.edits import shape_of
from elicit.pair import ModelPair
from elicit.sites import Shape, Site, resid_pre, resolve_sites


def sites_of(pair: ModelPair, sites: Sequence[Site | str] | None) -> tuple[Site, ...]:
    """Sites that are asked for, each once; the embedding and the end of every layer if None.

    Args:
        pair: The two models.
        sites: Sites, or short names of several.

    Raises:
        SiteError: A model does not have a site, or none is given.
    """
    shape: Shape = shape_of(pair.base)
    if sites is None:
        return (resid_pre(0), *shape.every("resid_post"))
    return resolve_sites(sites, shape)
